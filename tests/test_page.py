"""The page of a status document: what is drawn for each state, all of it escaped, and nothing added."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import Phase
from sidecar.page import Html, Page, duration, tag
from sidecar.status import _SCRIPT, _STYLE
from tests.builders import ROLE_A, ROLE_B

NOW = 2_000_000_000.0 - 3600  # 2033-05-18T02:33:20Z
PAGE = Page("style {}", "script()")


def hop(role: str = ROLE_B, phase: str = "fresh", **changes: Any) -> dict[str, Any]:
    instants = {
        "expiration": "2033-05-18T03:33:20Z",
        "refreshed": "2033-05-18T02:33:20Z",
        "due": "2033-05-18T03:03:20Z",
    }
    return {"role": role, "phase": phase, **instants, **changes}


def target(name: str = "default", error: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    last = hop(**changes)
    return {"name": name, **last, "error": error, "hops": [hop(ROLE_A), last]}


def document(*targets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    started = {"version": "1.2.3", "started": "2033-05-18T02:00:00Z", "stopping": False, "skew_seconds": None}
    return {**started, "targets": list(targets) or [target()], "events": [], **changes}


def error(**changes: Any) -> dict[str, Any]:
    said = {"hop": 2, "class": "denied", "code": "AccessDenied", "message": "look at the trust policy"}
    return {**said, "since": "2033-05-18T02:03:20Z", "failures": 3, **changes}


class Reader(HTMLParser):
    """Text as it is read, elements as they are opened; what is never closed is a mistake."""

    VOID = frozenset({"meta", "link", "wbr"})
    BLOCKS = frozenset({"p", "h1", "h2", "h3", "li", "td", "th"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.open = "", list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += [tag] if tag not in self.VOID else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " if tag in self.BLOCKS else ""

    def handle_data(self, data: str) -> None:
        self.text += data if not {"style", "script"} & set(self.open) else ""


def read(said: dict[str, Any], now: float = NOW) -> Reader:
    reader = Reader()
    reader.feed(PAGE.draw(said, now))
    reader.close()
    assert reader.open == []
    return reader


def text(said: dict[str, Any], now: float = NOW) -> str:
    return " ".join(read(said, now).text.split())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min 59 s"), (3600, "1 h")),
        *((7380, "2 h 3 min"), (86_399, "23 h 59 min"), (90_000, "1 d 1 h"), (864_000, "10 d")),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_is_served_says_for_how_long_and_when_it_is_refreshed() -> None:
    said = text(document(), NOW + 60)
    assert "default is fresh" in said
    assert "Served for another 59 min, until 2033-05-18 03:33:20 UTC. The next refresh is in 29 min." in said
    assert "Hop 1: account-a-role" in said
    assert "fresh: 59 min of 1 h left; renewed when hop 2 needs it" in said
    assert "fresh: 59 min of 1 h left; renewed at the mark" in said
    assert "Served to the workload" in said


def test_the_bar_of_a_hop_is_what_is_left_of_its_life() -> None:
    drawn = PAGE.draw(document(), NOW + 900)
    assert re.findall(r'<rect width="(\d+)"', drawn) == ["750", "750"]
    assert re.findall(r'<path d="M(\d+) 0v10"', drawn) == ["500"]  # the last hop alone has an appointment


def test_what_fails_says_how_what_to_do_and_when_it_is_tried_again() -> None:
    wrong = error(runbook="docs/runbook.md#accessdenied-on-hop-2")
    said = text(document(target(phase="stale", error=wrong, due="2033-05-18T02:38:20Z")))
    assert "default is stale" in said
    assert "Refreshing fails; it is tried again in 5 min." in said
    assert "AccessDenied denied look at the trust policy" in said
    assert "Failed 3 times in a row, in this way since 2033-05-18 02:03:20 UTC" in said
    assert "docs/runbook.md#accessdenied-on-hop-2" in said


def test_a_hop_that_is_tried_right_now_has_no_time_to_wait_for() -> None:
    said = text(document(target(phase="stale", error=error(failures=1), due="2033-05-18T02:33:19Z")))
    assert "Failed once" in said
    assert "; it is being tried again." in said
    assert "Refreshing fails; it is being tried again." in said


def test_the_next_attempt_waits_for_the_hop_that_failed() -> None:
    wrong = target(phase="stale", error=error(hop=1), due="2033-05-18T02:33:19Z")
    wrong["hops"][0]["due"] = "2033-05-18T02:34:20Z"
    assert "it is tried again in 1 min." in text(document(wrong))


def test_an_expired_target_is_not_served_and_says_since_when() -> None:
    said = text(document(target(phase="expired", due="2033-05-18T03:00:00Z")), NOW + 3900)
    assert "Nothing is served: the credentials are at their end. A refresh is under way." in said
    assert "expired: ended 5 min ago" in said
    assert "Served to the workload" not in said


def test_what_is_left_but_not_served_is_called_too_little() -> None:
    said = text(document(target(phase="expired")), NOW + 3580)
    assert "expired: 20 s of 1 h left, too little to serve" in said


def test_a_target_without_a_session_yet_has_no_bar_and_no_instant() -> None:
    nothing: dict[str, Any] = {"phase": "empty", "expiration": None, "refreshed": None, "due": None}
    empty = target(**nothing)
    empty["hops"][0] |= nothing
    drawn = PAGE.draw(document(empty), NOW)
    assert "Nothing is served yet. A refresh is under way." in text(document(empty))
    assert 'class="bar"' not in drawn
    assert "no session yet" in drawn


@pytest.mark.parametrize(
    ("phases", "title", "headline"),
    [
        (["fresh", "fresh"], "fresh: t0, t1", "All 2 targets are fresh"),
        (["fresh", "stale", "fresh"], "stale: t1", "1 of 3 targets is stale: t1"),
        (["expired", "stale", "expired"], "expired: t0, t2", "2 of 3 targets are expired: t0, t2"),
        (["empty", "stale"], "empty: t0", "1 of 2 targets is empty: t0"),
    ],
)
def test_title_and_headline_say_the_worst_phase_and_who_is_in_it(phases: list[str], title: str, headline: str) -> None:
    said = document(*(target(f"t{n}", phase=phase) for n, phase in enumerate(phases)))
    assert f"<title>{title} – credential-sidecar</title>" in PAGE.draw(said, NOW)
    assert headline in text(said)


def test_empty_is_trouble_only_where_something_fails() -> None:
    waiting, failing = target("a", phase="empty"), target("b", phase="empty", error=error())
    assert '<h1 class="empty">' in PAGE.draw(document(waiting), NOW)
    assert '<h1 class="empty trouble">' in PAGE.draw(document(waiting, failing), NOW)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_an_outline_of_its_own(phase: Phase) -> None:
    drawn = PAGE.draw(document(target(phase=phase)), NOW)
    shapes = dict(re.findall(r'<symbol id="(\w+)" viewBox="0 0 16 16">(.*?)</symbol>', drawn))
    assert len(set(shapes.values())) == len(Phase)
    assert f'<use href="#{phase}">' in drawn


@pytest.mark.parametrize("phase", Phase)
def test_target_badge_and_hop_are_coloured_by_phase_and_a_mere_source_is_not(phase: Phase) -> None:
    drawn = PAGE.draw(document(target(phase=phase)), NOW)
    assert re.findall(r'class="((?:target|phase|hop) [^"]*)"', drawn) == [
        *(f"target {phase}", f"phase {phase}", "hop source", f"hop {phase}")
    ]
    drawn = PAGE.draw(document(target(phase=phase, error=error(hop=1))), NOW)
    assert re.findall(r'class="((?:target|hop) [^"]*)"', drawn) == [
        *(f"target {phase} trouble", "hop failing", f"hop {phase}")
    ]


def test_remaining_times_are_by_stss_clock_where_the_nodes_is_wrong() -> None:
    said = text(document(skew_seconds=300.0))
    assert "Served for another 55 min" in said
    assert "The node's clock is 5 min behind STS's." in said
    assert "ahead of STS's" in text(document(skew_seconds=-61.0))
    assert "The node's clock" not in text(document(skew_seconds=59.0))


def test_a_sidecar_that_was_told_to_end_says_so() -> None:
    assert "told to end" in text(document(stopping=True))
    assert "told to end" not in text(document())


def test_events_are_told_with_their_instant_and_the_loud_ones_with_their_level() -> None:
    told = [
        {"at": "2033-05-18T02:33:19Z", "level": "warning", "event": "HopFailed", "message": "hop 2 failed"},
        {"at": "2033-05-18T02:33:18Z", "level": "info", "event": "Stopping", "message": "stopping"},
    ]
    said = text(document(events=told))
    assert "2033-05-18 02:33:19 warning hop 2 failed HopFailed" in said
    assert "2033-05-18 02:33:18 stopping Stopping" in said


MARKUP = "<script>alert('1')</script>&\"\"<img src=x>"


def test_every_text_of_the_document_is_escaped() -> None:
    role = f"arn:aws:iam::111122223333:role/{MARKUP}/{MARKUP}"
    wrong = error(message=MARKUP, code=MARKUP, runbook=MARKUP, **{"class": MARKUP})
    bad = target(f"a{MARKUP}", error=wrong, role=role)
    bad["hops"][0]["role"] = role
    told = [{"at": "2033-05-18T02:33:19Z", "level": MARKUP, "event": MARKUP, "message": MARKUP}]
    reader = read(document(bad, version=MARKUP, events=told))
    assert reader.tags.count("script") == 1  # our own
    assert "img" not in reader.tags
    assert reader.text.count(MARKUP) > 10


@given(st.text(), st.text())
def test_only_markup_passes_as_markup(inner: str, attribute: str) -> None:
    made = tag("p", inner, tag("b"), Html("<i></i>"), title=attribute)
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*<b></b><i></i></p>', made, re.DOTALL)


def test_the_policy_names_style_and_script_by_their_digest_and_lets_nothing_else_in() -> None:
    fields = dict(line.split(": ", 1) for line in PAGE.fields.splitlines())
    digests = {
        name: base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        for name, body in (("style", "style {}"), ("script", "script()"))
    }
    assert fields["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert (fields["X-Content-Type-Options"], fields["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_nothing_on_the_page_is_fetched_from_elsewhere() -> None:
    drawn = Page(_STYLE, _SCRIPT).draw(document(), NOW)
    assert not re.search(
        r"(?:src|srcset|action|formaction|ping)=|@import|url\(|EventSource|WebSocket|style=| on\w+=", drawn
    )
    assert set(re.findall(r'href="([^"#]*)', drawn)) - {""} == {
        "status",
        "metrics",
        *re.findall(r'"(data:[^"#]*)', drawn),
    }


def test_the_page_is_light() -> None:
    assert len(Page(_STYLE, _SCRIPT).draw(document(), NOW).encode()) < 16_384


def test_the_pictures_of_the_docs_are_small_and_all_of_them_are_shown() -> None:
    docs = Path(__file__).parents[1] / "docs"
    pictures = sorted((docs / "images").glob("status-*.png"))
    shown = re.findall(r"images/(status-[a-z-]+\.png)", (docs / "status-page.md").read_text("utf-8"))
    assert sorted({*shown}) == [picture.name for picture in pictures]
    assert [picture.name for picture in pictures if picture.stat().st_size > 60_000] == []
