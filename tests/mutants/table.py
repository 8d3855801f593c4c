"""The mutants: one for every defect that was found in comparable programs (D…), two and more for each invariant (I…).

A mutant replaces the one occurrence of `old` in `file` by `new`; `test` is the test that must then fail.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A defect: `name` is the number of a defect or invariant and what is planted."""

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def number(self) -> str:
        """`D7` or `I4`."""
        return self.name.partition(" ")[0]


_SCHEDULE, _LEDGER, _REFRESHER = "sidecar/schedule.py", "sidecar/ledger.py", "sidecar/refresher.py"
_CONTRACT, _ENDPOINT, _DAEMON = "sidecar/contract.py", "sidecar/endpoint.py", "sidecar/daemon.py"
_INVARIANT = "tests/test_invariants.py::test_invariant_"
_I1 = f"{_INVARIANT}1_expired_credentials_are_never_served"
_I2 = f"{_INVARIANT}2_a_failure_never_discards_served_credentials"
_I3 = f"{_INVARIANT}3_after_a_success_and_after_a_failure_due_is_in_the_future"
_I4 = f"{_INVARIANT}4_an_outage_that_ends_two_minutes_before_expiration_is_invisible"
_I5 = f"{_INVARIANT}5_in_steady_state_at_least_half_the_lifetime_is_left_less_one_walk"
_I6 = f"{_INVARIANT}6_a_denied_chain_makes_thirty_calls_in_the_first_hour_and_twenty_in_each_later_one"
_I6_ASKED = f"{_INVARIANT}6_a_refresh_that_is_asked_for_costs_one_walk_however_often_it_is_asked"
_I6_SHARED = f"{_INVARIANT}6_targets_behind_one_denied_first_hop_make_no_more"

INVARIANTS = (
    Mutant(
        name="I1 served until the very end",
        file=_SCHEDULE,
        old="return now < self.expiration - FLOOR",
        new="return now < self.expiration",
        test=_I1,
    ),
    Mutant(
        name="I1 expired only at the very end",
        file=_SCHEDULE,
        old="if now >= self.expiration - FLOOR:",
        new="if now >= self.expiration:",
        test=_I1,
    ),
    Mutant(
        name="I1 an expiration is extended",
        file=_SCHEDULE,
        old="expiration = now + lifetime",
        new="expiration = max(self.expiration, now + lifetime)",
        test=_I1,
    ),
    Mutant(
        name="I2 a failure forgets the session",
        file=_LEDGER,
        old="replace(ledger.of(hop), schedule=change(ledger.of(hop).schedule))",
        new="Held(schedule=change(ledger.of(hop).schedule))",
        test=_I2,
    ),
    Mutant(
        name="I2 a failure forgets the expiration",
        file=_SCHEDULE,
        old="return replace(self, due=now + backoff",
        new="return Schedule(due=now + backoff",
        test=_I2,
    ),
    Mutant(
        name="I3 a failure does not back off",
        file=_SCHEDULE,
        old="backoff = min(CAPS[error.kind], 2.0 ** min(streak.failures, DOUBLINGS))",
        new="backoff = 0.0",
        test=_I3,
    ),
    Mutant(
        name="I3 a success is due by its luck",
        file=_SCHEDULE,
        old="due = now + lifetime * (DUE_AT - DUE_SPREAD * chance)",
        new="due = now + lifetime * (DUE_AT - chance)",
        test=_I3,
    ),
    Mutant(
        name="I4 outages back off to two minutes",
        file=_SCHEDULE,
        old="Kind.UNAVAILABLE: 60.0",
        new="Kind.UNAVAILABLE: 120.0",
        test=_I4,
    ),
    Mutant(
        name="I4 denials back off to ten minutes",
        file=_SCHEDULE,
        old="Kind.DENIED: 300.0",
        new="Kind.DENIED: 600.0",
        test=_I4,
    ),
    Mutant(
        name="I4 refreshed when almost over",
        file=_SCHEDULE,
        old="DUE_AT, DUE_SPREAD = 0.5, 0.1",
        new="DUE_AT, DUE_SPREAD = 0.97, 0.0",
        test=_I4,
    ),
    Mutant(
        name="I5 refreshed at six tenths",
        file=_SCHEDULE,
        old="DUE_AT, DUE_SPREAD = 0.5, 0.1",
        new="DUE_AT, DUE_SPREAD = 0.6, 0.1",
        test=_I5,
    ),
    Mutant(
        name="I5 the spread delays",
        file=_SCHEDULE,
        old="(DUE_AT - DUE_SPREAD * chance)",
        new="(DUE_AT + DUE_SPREAD * chance)",
        test=_I5,
    ),
    Mutant(
        name="I6 denials are retried like outages",
        file=_SCHEDULE,
        old="Kind.DENIED: 300.0",
        new="Kind.DENIED: 60.0",
        test=_I6,
    ),
    Mutant(
        name="I6 every denial blames the source",
        file=_LEDGER,
        old="if refreshed > streak.began:",
        new="if refreshed > streak.last:",
        test=_I6,
    ),
    Mutant(
        name="I6 every wish is granted",
        file=_LEDGER,
        old="if now - self.asked_at < ASKING:",
        new="if now < self.asked_at:",
        test=_I6_ASKED,
    ),
    Mutant(
        name="I6 a denied source is called for each target",
        file=_SCHEDULE,
        old="return self.streak is not None and now < self.due",
        new="return self.streak is not None and self.expiration > 0 and now < self.due",
        test=_I6_SHARED,
    ),
)

DEFECTS = (
    Mutant(
        name="D1 200 with an empty field",
        file=_CONTRACT,
        old="if fields and all(fields.values()) else None",
        new="if fields and any(fields.values()) else None",
        test="tests/test_contract.py::test_d1_never_200_with_an_empty_field",
    ),
    Mutant(
        name="D1 a failed refresh overwrites",
        file=_LEDGER,
        old="replace(ledger.of(hop), schedule=change(ledger.of(hop).schedule))",
        new="Held(schedule=change(ledger.of(hop).schedule))",
        test="tests/test_endpoint.py::test_d1_r14_a_failed_refresh_leaves_the_served_bytes_as_they_were",
    ),
    Mutant(
        name="D2 no floor",
        file=_CONTRACT,
        old="answers.insert(0, (expiration - FLOOR, granted))",
        new="answers.insert(0, (inf, granted))",
        test="tests/test_endpoint.py::test_d2_r16_below_the_floor_it_is_503_with_a_code_and_no_old_key",
    ),
    Mutant(
        name="D3 the first hop's session is published",
        file=_CONTRACT,
        old="held = ledger.of(target.hop)",
        new="held = ledger.of(target.hop.chain[0])",
        test="tests/test_contract.py::test_d3_the_expiration_is_the_last_hops_own",
    ),
    Mutant(
        name="D3 the source's end is the session's",
        file=_LEDGER,
        old="lifetime=lifetime, now=now, chance=chance)\n        return ",
        new=(
            "lifetime=lifetime if hop.source is None else "
            "self.of(hop.chain[0]).schedule.expiration - now, now=now, chance=chance)\n        return "
        ),
        test="tests/test_ledger.py::test_d3_what_is_served_expires_with_the_last_hop_whatever_the_others_do",
    ),
    Mutant(
        name="D4 refreshed when it has expired",
        file=_SCHEDULE,
        old="due = now + lifetime * (DUE_AT - DUE_SPREAD * chance)",
        new="due = now + lifetime - FLOOR",
        test="tests/test_refresher.py::test_d4_a_chained_hour_is_replaced_long_before_its_end",
    ),
    Mutant(
        name="D5 evicted before it is replaced",
        file=_LEDGER,
        old="replace(ledger.of(hop), schedule=change(ledger.of(hop).schedule))",
        new="Held(schedule=change(ledger.of(hop).schedule))",
        test="tests/test_ledger.py::test_d5_the_session_stays_served_until_its_replacement_has_arrived",
    ),
    Mutant(
        name="D6 readers wait for the refresh",
        file=_CONTRACT,
        old="waits=held.session is None and wrong is None,",
        new="waits=True,",
        test="tests/test_peers.py::test_d6_a_hanging_sts_keeps_no_reader_waiting",
    ),
    Mutant(
        name="D7 every turn calls again",
        file=_REFRESHER,
        old="if hop not in self._calls:",
        new="if hop.position:",
        test="tests/test_refresher.py::test_d7_any_number_of_targets_and_turns_make_one_walk",
    ),
    Mutant(
        name="D7 a waiter takes the call along",
        file=_REFRESHER,
        old="await asyncio.wait(self._calls.values())",
        new="await asyncio.gather(*self._calls.values())",
        test="tests/test_refresher.py::test_d7_a_waiter_that_gives_up_cancels_nothing",
    ),
    Mutant(
        name="D8 a rotation empties the cache",
        file=_LEDGER,
        old="        hops = [h for h, held in self.held.items() if h.token_file",
        new="        self = Ledger(asked_at=self.asked_at)\n"
        "        hops = [h for h, held in self.held.items() if h.token_file",
        test="tests/test_refresher.py::test_d8_a_rotation_during_an_outage_is_invisible",
    ),
    Mutant(
        name="D9 the external id is not in the key",
        file="sidecar/model.py",
        old="external_id: str | None = field(default=None, repr=False)",
        new="external_id: str | None = field(default=None, repr=False, compare=False)",
        test="tests/test_ledger.py::test_d9_a_session_is_never_found_under_a_hop_that_differs",
    ),
    Mutant(
        name="D9 the session name is not in the key",
        file="sidecar/model.py",
        old="    session_name: str | None = None\n",
        new="    session_name: str | None = field(default=None, compare=False)\n",
        test="tests/test_model.py::test_d9_hops_are_equal_only_if_all_that_shapes_their_session_is",
    ),
    Mutant(
        name="D10 a host that holds ours will do",
        file=_CONTRACT,
        old="_HOST.fullmatch(host) is None",
        new="_HOST.search(host) is None",
        test="tests/test_contract.py::test_d10_d11_host_checks_refuse_every_foreign_host",
    ),
    Mutant(
        name="D11 a beginning of the token will do",
        file=_CONTRACT,
        old='return compare_digest(given.encode("utf-8", "surrogateescape"), token.reveal().encode())',
        new="return token.reveal().startswith(given)",
        test="tests/test_contract.py::test_d11_any_other_authorization_is_refused",
    ),
    Mutant(
        name="D12 any method will do",
        file=_CONTRACT,
        old='    if request.method not in ("GET", "HEAD"):\n        return Refusal.METHOD\n',
        new="",
        test="tests/test_contract.py::test_d12_every_method_but_get_and_head_is_refused",
    ),
    Mutant(
        name="D13 half of the keys",
        file=_CONTRACT,
        old='{"code": code, "message": message, "Code": code, "Message": message}',
        new='{"Code": code, "Message": message}',
        test="tests/test_endpoint.py::test_d13_r18_an_old_denial_is_403_with_its_code_and_a_young_one_503",
    ),
    Mutant(
        name="D14 text",
        file=_CONTRACT,
        old='content_type: str = "application/json"',
        new='content_type: str = "text/plain; charset=utf-8"',
        test="tests/test_contract.py::test_d14_every_answer_has_a_true_length_and_the_exact_json_type",
    ),
    Mutant(
        name="D15 an expiration as it came",
        file="sidecar/formats.py",
        old='held.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")',
        new="held.expiration.isoformat()",
        test="tests/test_peers.py::test_d15_an_expiration_is_served_in_whole_seconds_of_utc",
    ),
    Mutant(
        name="D16 a secret prints",
        file="sidecar/model.py",
        old='return "Secret(…)"',
        new='return f"Secret({self._value})"',
        test="tests/test_model.py::test_d16_no_value_that_holds_a_secret_prints_it",
    ),
    Mutant(
        name="D17 a role for a label",
        file="sidecar/metrics.txt",
        old="gauge phase target,phase ",
        new="gauge phase role,phase ",
        test="tests/test_peers.py::test_d17_metrics_have_base_units_and_no_label_that_names_a_role",
    ),
    Mutant(
        name="D18 always ready",
        file="sidecar/status.py",
        old="if not lacking:",
        new="if targets:",
        test="tests/test_status.py::test_d18_ready_means_that_every_target_can_be_served_now",
    ),
    Mutant(
        name="D18 liveness asks for sessions",
        file="sidecar/status.py",
        old="if silence < STUCK:",
        new="if seen.ledger.held and silence < STUCK:",
        test="tests/test_status.py::test_d18_liveness_never_looks_at_sts",
    ),
    Mutant(
        name="D19 no drain",
        file=_DAEMON,
        old="            await asyncio.wait({refreshing}, timeout=self._config.drain)\n",
        new="",
        test="tests/test_peers.py::test_d19_a_sidecar_that_is_told_to_end_serves_for_its_drain",
    ),
    Mutant(
        name="D20 no deadline",
        file="sidecar/http.py",
        old="if now >= connection.deadline:",
        new="if now >= connection.deadline + 3600:",
        test="tests/test_http.py::test_d20_a_slow_head_gets_408_and_a_close",
    ),
    Mutant(
        name="D20 no limit",
        file="sidecar/http.py",
        old="if others >= self._server.limits.connections:",
        new="if others >= 10**6:",
        test="tests/test_http.py::test_d20_a_connection_above_the_limit_gets_503_and_a_close_and_the_others_are_served",
    ),
    Mutant(
        name="D30 written in place",
        file="sidecar/files.py",
        old='temporary = f".{name}.new"',
        new="temporary = name",
        test="tests/test_state.py::test_d30_a_life_killed_between_write_and_rename_leaves_the_state_before",
    ),
    Mutant(
        name="D31 no spread on failure",
        file=_SCHEDULE,
        old="BACKOFF_AT, BACKOFF_SPREAD = 0.75, 0.25",
        new="BACKOFF_AT, BACKOFF_SPREAD = 1.0, 0.0",
        test="tests/test_schedule.py::test_d31_failures_back_off_by_their_class_with_a_spread",
    ),
    Mutant(
        name="D31 no spread on success",
        file=_SCHEDULE,
        old="DUE_AT, DUE_SPREAD = 0.5, 0.1",
        new="DUE_AT, DUE_SPREAD = 0.5, 0.0",
        test="tests/test_schedule.py::test_d31_a_fleet_that_started_together_is_due_at_different_instants",
    ),
    Mutant(
        name="D31 one pace for all classes",
        file=_SCHEDULE,
        old="Kind.DENIED: 300.0",
        new="Kind.DENIED: 60.0",
        test="tests/test_schedule.py::test_d31_a_denial_backs_off_to_five_minutes_and_an_outage_to_one",
    ),
    Mutant(
        name="D32 a line per request",
        file=_ENDPOINT,
        old="        began = self._clock()\n",
        new='        began = self._clock()\n        __import__("logging").getLogger("sidecar").info(request.target)\n',
        test="tests/test_endpoint.py::test_d32_no_request_writes_a_log_line",
    ),
)

MUTANTS = INVARIANTS + DEFECTS
