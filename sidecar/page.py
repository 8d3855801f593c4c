"""The status page: the status document as HTML, for people. What the document does not have cannot be shown.

One page without a request of its own: style and script stand in it, and its policy lets nothing else in. Every time
that remains is worked out for the instant of drawing; the script counts it down and fetches the page again, and a
browser that runs none loads it again. Text is escaped where it enters a tag: only `Html` passes as it is.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape
from typing import Any

from sidecar.formats import utc_of
from sidecar.model import Phase

Document = Mapping[str, Any]

# From the one that wants a person to the one that wants nobody.
_WORST = (Phase.EXPIRED, Phase.EMPTY, Phase.STALE, Phase.FRESH)
# The node's clock is worth a word from here on; the log warns from there too.
_SKEWED = 60.0
# Each phase has an outline of its own, for those to whom colours say nothing.
_INK = '<path fill="none" stroke="#fff" stroke-width="1.8" class="ink" d="{}"/>'
_SHAPES = {
    Phase.FRESH: '<circle cx="8" cy="8" r="7"/>' + _INK.format("m4.6 8.2 2.4 2.4 4.4-4.8"),
    Phase.STALE: '<path d="M8 1 15.6 15H.4Z"/>' + _INK.format("M8 6v4.4M8 11.8v1.6"),
    Phase.EXPIRED: '<path d="M5 1h6l4 4v6l-4 4H5l-4-4V5Z"/>' + _INK.format("m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2"),
    Phase.EMPTY: '<path fill-rule="evenodd" d="M1 1h14v14H1zm2 2v10h10V3z"/>',
}
_COLOURS = {Phase.FRESH: "#0b7a4b", Phase.STALE: "#8f5a00", Phase.EXPIRED: "#c0202f", Phase.EMPTY: "#5a6472"}
_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<title>{title} – credential-sidecar</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
<svg width="0" height="0" class="shapes" aria-hidden="true">{shapes}</svg>
<header><b>credential-sidecar</b> {version}</header>
<p id="news" role="status"></p>
{main}
<footer>No secret is on this page. For programs: <a href="status">status</a>, <a href="metrics">metrics</a>.</footer>
<script>{script}</script>
</body>
</html>
"""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *inner: str, **attributes: object) -> Html:
    """An element; a trailing underscore keeps Python's words apart from HTML's, an inner one is a dash."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(text))}"' for key, text in attributes.items())
    body = "".join(each if isinstance(each, Html) else escape(each) for each in inner)
    return Html(f"<{name}{said}>{body}</{name}>")


class Page:
    """The page with `style` and `script` in it; `fields` are the header lines that belong to it."""

    def __init__(self, style: str, script: str) -> None:
        self._style, self._script = style, script
        policy = (
            f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self.fields = (
            f"Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
        )

    def draw(self, document: Document, wall: float) -> str:
        """The page of what `document` says, at `wall` in Unix seconds of the node."""
        phase, names = _worst(document["targets"])
        shapes = "".join(f'<symbol id="{each}" viewBox="0 0 16 16">{_SHAPES[each]}</symbol>' for each in Phase)
        return _FRAME.format(
            title=escape(f"{phase}: {', '.join(names)}"),
            icon=_icon(phase),
            style=self._style,
            shapes=shapes,
            version=escape(document["version"]),
            main=_main(document, _Moment(wall, document["skew_seconds"] or 0.0)),
            script=self._script,
        )


@dataclass(frozen=True, slots=True)
class _Moment:
    """The instant of drawing in Unix seconds of the node, and by how much STS's clock is ahead of that."""

    wall: float
    skew: float

    def span(self, hop: Document) -> tuple[float, float] | None:
        """From when until when the hop's session lives, by the node's clock; None without one."""
        if hop["expiration"] is None:
            return None
        return _unix(hop["refreshed"]), _unix(hop["expiration"]) - self.skew

    def is_now(self, instant: float) -> bool:
        """Whether it has come, or will before anybody has read that it has not."""
        return instant < self.wall + 1

    def again(self, due: float | None) -> Iterator[str]:
        """When what failed is tried again."""
        yield from ("being tried again",) if due is None or self.is_now(due) else ("tried again in ", self.until(due))

    def until(self, instant: float) -> Html:
        """The time that is left, which the script counts down."""
        return tag("span", duration(instant - self.wall), class_="time", data_until=f"{instant:.3f}")

    def since(self, instant: float) -> Html:
        """The time that has passed, which the script counts up."""
        return tag("span", duration(self.wall - instant), class_="time", data_since=f"{instant:.3f}")


def duration(seconds: float) -> str:
    """Seconds for people, in two units at most; nothing is less than none."""
    whole = max(0, int(seconds))
    for size, unit, smaller, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {below}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def _main(document: Document, at: _Moment) -> Html:
    phase, _ = _worst(document["targets"])
    drawn = [_target(target, at) for target in document["targets"]]
    seen = ("Seen at ", _clock(utc_of(at.wall)), ", running since ", _clock(document["started"]), ".")
    return tag(
        "main",
        tag("h1", _symbol(phase), _headline(document["targets"]), class_=_tone(phase, document["targets"])),
        *_notices(document),
        *drawn,
        _events(document["events"]),
        tag("p", *seen, class_="seen"),
        data_now=f"{at.wall:.3f}",
    )


def _worst(targets: Sequence[Document]) -> tuple[Phase, list[str]]:
    """The phase that matters most, and the targets that are in it."""
    phase = min((Phase(target["phase"]) for target in targets), key=_WORST.index)
    return phase, [target["name"] for target in targets if target["phase"] == phase]


def _tone(phase: str, targets: Sequence[Document]) -> str:
    """The phase, and whether what fails leaves a target without anything: empty is no trouble by itself."""
    return f"{phase} trouble" if any(each["phase"] == phase and each["error"] for each in targets) else phase


def _headline(targets: Sequence[Document]) -> str:
    phase, names = _worst(targets)
    if len(targets) == 1:
        return f"{names[0]} is {phase}"
    if len(names) == len(targets):
        return f"All {len(names)} targets are {phase}"
    return f"{len(names)} of {len(targets)} targets {'is' if len(names) == 1 else 'are'} {phase}: {', '.join(names)}"


def _notices(document: Document) -> Iterator[Html]:
    skew = document["skew_seconds"] or 0.0
    if document["stopping"]:
        yield tag("p", "The sidecar was told to end; it serves on until then.", class_="notice")
    if abs(skew) >= _SKEWED:
        said = f"The node's clock is {duration(abs(skew))} {'behind' if skew > 0 else 'ahead of'} STS's."
        yield tag("p", said, " Signatures fail at 300 s, and SDKs misjudge expirations.", class_="notice")


def _target(target: Document, at: _Moment) -> Html:
    phase, name, error, hops = target["phase"], target["name"], target["error"], target["hops"]
    is_served = phase in (Phase.FRESH, Phase.STALE)
    drawn = (
        _hop(hop, n, at, is_last=n == len(hops), error=error if error and error["hop"] == n else None)
        for n, hop in enumerate(hops, start=1)
    )
    end = "Served to the workload" if is_served else "Nothing is served"
    chain = (
        tag("li", tag("b", "Projected token"), " of the pod", class_="token"),
        *drawn,
        tag("li", tag("b", end), class_="served" if is_served else "unserved"),
    )
    return tag(
        "section",
        tag("h2", name, _badge(phase), id=f"target-{name}"),
        tag("p", *_outlook(target, at), class_="outlook"),
        tag("ol", *chain, class_="chain"),
        class_=f"target {_tone(phase, [target])}",
        aria_labelledby=f"target-{name}",
    )


def _outlook(target: Document, at: _Moment) -> Iterator[str]:
    """What is served, for how long, and what happens next."""
    span = at.span(target)
    if target["phase"] == Phase.EMPTY:
        yield "Nothing is served yet. "
    elif target["phase"] == Phase.EXPIRED or span is None:
        yield "Nothing is served: the credentials are at their end. "
    else:
        yield from ("Served for another ", at.until(span[1]), ", until ", _clock(target["expiration"]), ". ")
    error, due = target["error"], _due(target)
    if error:
        yield from ("Refreshing fails; it is ", *at.again(due), ".")
    elif due is None or at.is_now(due):
        yield "A refresh is under way."
    else:
        yield from ("The next refresh is in ", at.until(due), ".")


def _due(target: Document) -> float | None:
    """When a hop is called next for the target: not before the one that failed."""
    hops = [target["hops"][-1], *([target["hops"][target["error"]["hop"] - 1]] if target["error"] else [])]
    return max((_unix(hop["due"]) for hop in hops if hop["due"]), default=None)


def _hop(hop: Document, position: int, at: _Moment, *, is_last: bool, error: Document | None) -> Html:
    role, phase, span = hop["role"], hop["phase"], at.span(hop)
    due = _unix(hop["due"]) if hop["due"] else at.wall
    mark = due if is_last and not error and due > at.wall else None
    renewal = "" if mark is None else "; renewed at the mark"
    # A session that only signs the next hop may end between two walks: nothing is wrong then.
    tone = "failing" if error else phase if is_last else "source"
    return tag(
        "li",
        tag("h3", f"Hop {position}: ", tag("b", role.rpartition("/")[2])),
        tag("p", *_breakable(role), class_="arn"),
        *([_bar(*span, mark, at)] if span else []),
        tag(
            "p",
            *_life(hop, span, at),
            renewal if is_last else f"; renewed when hop {position + 1} needs it",
            class_="life",
        ),
        *([_error(error, hop, at)] if error else []),
        class_=f"hop {tone}",
    )


def _life(hop: Document, span: tuple[float, float] | None, at: _Moment) -> Iterator[str]:
    yield tag("b", hop["phase"])
    if span is None:
        yield ": no session yet"
        return
    began, ends = span
    if ends > at.wall:
        whole = duration(round(ends - began, -1))  # both ends are whole seconds of different clocks
        yield from (": ", at.until(ends), f" of {whole} left")
        yield ", too little to serve" if hop["phase"] == Phase.EXPIRED else ""
    else:
        yield from (": ended ", at.since(ends), " ago")


def _breakable(role: str) -> Iterator[str]:
    """The ARN, which may go to the next line where its path does."""
    for part in role.split("/")[:-1]:
        yield from (f"{part}/", Html("<wbr>"))
    yield role.rpartition("/")[2]


def _bar(began: float, ends: float, mark: float | None, at: _Moment) -> Html:
    """What is left of a session as a bar, with a mark where it will be renewed; the words beside it say the same."""

    def share(instant: float) -> str:
        return f"{1000 * min(1.0, max(0.0, (ends - instant) / (ends - began or 1.0))):.0f}"

    left = tag("rect", width=share(at.wall), height=10, class_="left", data_from=f"{began:.3f}", data_to=f"{ends:.3f}")
    due = tag("path", d=f"M{share(mark)} 0v10") if mark is not None else Html()
    view = {"viewBox": "0 0 1000 10", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return tag("svg", left, due, class_="bar", **view)


def _error(error: Document, hop: Document, at: _Moment) -> Html:
    count = "once" if error["failures"] == 1 else f"{error['failures']} times in a row"
    again = at.again(_unix(hop["due"]))
    runbook = error.get("runbook")
    return tag(
        "div",
        tag("p", tag("b", error["code"]), " ", tag("span", error["class"].replace("_", " "), class_="kind")),
        tag("p", error["message"], class_="remedy"),
        tag("p", f"Failed {count}, in this way since ", _clock(error["since"]), "; it is ", *again, "."),
        *([tag("p", "What to do: ", tag("code", runbook))] if runbook else []),
        class_="error",
    )


def _events(events: Sequence[Document]) -> Html:
    head = tag("tr", tag("th", "Time (UTC)", scope="col"), tag("th", "What happened", scope="col"))
    rows = (tag("tr", tag("td", _clock(each["at"], zone="")), tag("td", *_told(each))) for each in events)
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return tag("section", tag("h2", "Recent events", id="events"), table, class_="events", aria_labelledby="events")


def _told(event: Document) -> Iterator[str]:
    if event["level"] != "info":
        yield from (tag("b", event["level"], class_=f"level {event['level']}"), " ")
    yield from (event["message"], " ", tag("code", event["event"]))


def _badge(phase: str) -> Html:
    return tag("span", _symbol(phase), phase, class_=f"phase {phase}")


def _symbol(phase: str) -> Html:
    return tag("svg", tag("use", href=f"#{phase}"), class_="symbol", aria_hidden="true")


def _icon(phase: Phase) -> str:
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="{_COLOURS[phase]}">{_SHAPES[phase]}</svg>'
    )
    return "data:image/svg+xml," + escape(picture.replace("#", "%23"))


def _clock(iso: str, zone: str = " UTC") -> Html:
    """An instant: the time of day, and the day where there is room for it."""
    day, _, time = iso.rstrip("Z").partition("T")
    return tag("time", tag("span", f"{day} ", class_="day"), time, zone, datetime=iso)


def _unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
