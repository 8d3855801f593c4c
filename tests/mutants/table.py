"""The mutants: one for every defect that was found in comparable programs (D…), two and more for each invariant (I…),
one and more for each rule of the contract with clients (R…), what `exec` and injection promise, and what would mislead
those who look at doctor, the status page and the alerts.

A mutant replaces the one occurrence of `old` in `file` by `new`; `test` is the test that must then fail.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A defect: `name` is the number of a defect, invariant or rule and what is planted."""

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def number(self) -> str:
        """`D7`, `I4` or `R10`."""
        return self.name.partition(" ")[0]


_SCHEDULE, _LEDGER, _REFRESHER = "sidecar/schedule.py", "sidecar/ledger.py", "sidecar/refresher.py"
_CONTRACT, _ENDPOINT, _DAEMON = "sidecar/contract.py", "sidecar/endpoint.py", "sidecar/daemon.py"
_AUTHORIZATION, _BOARD = "sidecar/authorization.py", "sidecar/board.py"
_FORMATS, _HTTP = "sidecar/formats.py", "sidecar/http.py"
_INJECTION, _SIDECARS, _CONFLICTS = "sidecar/kube/injection.py", "sidecar/kube/sidecars.py", "sidecar/kube/conflicts.py"
_ANNOTATIONS, _REVIEWS = "sidecar/kube/annotations.py", "sidecar/kube/reviews.py"
_CASES = "tests/kube/test_cases.py::test_"
_COMES = f"{_CASES}what_comes_of_it_is_the_expected_pod"
_TOUCHED = f"{_CASES}nothing_of_the_pods_own_is_touched"
_DENIED = f"{_CASES}what_is_denied_is_said_with_a_remedy"
_WARNED = f"{_CASES}what_is_warned_of_is_all_that_is_warned_of"
_IMDS, _FILES, _CREDENTIALS_FILE = "sidecar/imds.py", "sidecar/files.py", "sidecar/credentials_file.py"
_METADATA, _FILE = "tests/test_imds.py::test_r27_", "tests/test_credentials_file.py::test_r29_"
_INVARIANT, _BODY = "tests/test_invariants.py::test_invariant_", "tests/test_body.py::test_"
_I1 = f"{_INVARIANT}1_expired_credentials_are_never_served"
_I2 = f"{_INVARIANT}2_a_failure_never_discards_served_credentials"
_I3 = f"{_INVARIANT}3_after_a_success_and_after_a_failure_due_is_in_the_future"
_I4 = f"{_INVARIANT}4_an_outage_that_ends_two_minutes_before_expiration_is_invisible"
_I5 = f"{_INVARIANT}5_in_steady_state_at_least_half_the_lifetime_is_left_less_one_walk"
_I6 = f"{_INVARIANT}6_a_denied_chain_makes_thirty_calls_in_the_first_hour_and_twenty_in_each_later_one"
_I6_ASKED = f"{_INVARIANT}6_a_refresh_that_is_asked_for_costs_one_walk_however_often_it_is_asked"
_I6_SHARED = f"{_INVARIANT}6_targets_behind_one_denied_first_hop_make_no_more"
_HEADS = "sidecar/heads.py"
_ROLLOUTS, _ALIKE = "sidecar/kube/rollouts.py", "tests/kube/test_rollouts.py::test_"
_CLAUSES = "tests/test_clauses.py::test_"
_BYTES = f"{_CLAUSES}r10_r11_whatever_is_asked_with_these_are_the_bytes_of_the_answer"
_SOUND = f"{_CLAUSES}r13_200_is_whole_and_alive_whoever_asks_for_whatever_is_held"
_LIVES = f"{_CLAUSES}r14_what_lives_is_served_byte_for_byte_whatever_goes_wrong_at_once"
_COLD = f"{_CLAUSES}r18_r19_without_credentials_trouble_upstream_is_503_and_an_old_denial_403"
_REFUSALS = f"{_CLAUSES}r18_r19_every_refusal_over_the_wire_has_its_status_its_shape_and_no_field_more"
_DRAINED = f"{_CLAUSES}r23_kept_and_new_connections_are_served_and_refreshed_through_the_drain"
_RESTARTED = f"{_CLAUSES}r24_a_restart_takes_its_port_at_once_and_serves_the_same_bytes"
_APART = f"{_CLAUSES}r25_probes_and_metrics_have_their_own_port_that_knows_no_credentials"

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
        old="waits = held.session is None and wrong is None",
        new="waits = True",
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
        old='instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")',
        new="instant.isoformat()",
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
        old="asyncio.wait(working, timeout=self._config.drain,",
        new="asyncio.wait(working, timeout=0,",
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
        name="D20 every long body at once",
        file=_HTTP,
        old="return len(self._long) <= LONG_ONES",
        new="return True",
        test=f"{_BODY}long_bodies_are_read_a_few_at_a_time_and_all_of_them_are_answered",
    ),
    Mutant(
        name="D20 a turn that nobody gives away",
        file=_HTTP,
        old="            if place < LONG_ONES <= len(self._long):",
        new="            if False:",
        test=f"{_BODY}a_long_body_is_read_when_one_before_it_is_done_or_gone",
    ),
    Mutant(
        name="D20 a body without deadline",
        file=_HTTP,
        old=" or self._state in (State.QUEUED, State.BODY):",
        new=":",
        test=f"{_BODY}a_body_that_does_not_come_gets_408_and_a_close",
    ),
    Mutant(
        name="D20 all of a body that is too long",
        file="sidecar/body.py",
        old="            del self._kept[KEPT:]",
        new="            pass",
        test=f"{_BODY}of_a_body_that_is_too_long_the_beginning_is_kept_and_so_is_the_connection",
    ),
    Mutant(
        name="D20 handshakes that nobody counts",
        file="sidecar/tls.py",
        old="        self._below = transport\n        self._above.connection_made(self)",
        new="        self._below = transport",
        test="tests/test_tls.py::test_d20_a_handshake_that_is_not_made_counts_and_ends_by_its_deadline",
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
        old="        began = self.board.clock()\n",
        new='        began = self.board.clock()\n        __import__("logging").getLogger("sidecar").info("a")\n',
        test="tests/test_endpoint.py::test_d32_no_request_writes_a_log_line",
    ),
)

RULES = (
    Mutant(
        name="R2 a trailing slash makes another path",
        file=_CONTRACT,
        old='target.partition("?")[0].partition("#")[0].rstrip("/")',
        new='target.partition("?")[0].partition("#")[0]',
        test=f"{_CLAUSES}r2_however_the_address_is_written_the_same_bytes_come_back",
    ),
    Mutant(
        name="R2 a query makes another path",
        file=_CONTRACT,
        old='target.partition("?")[0].partition("#")[0].rstrip("/")',
        new='target.partition("#")[0].rstrip("/")',
        test=f"{_CLAUSES}r2_however_the_address_is_written_the_same_bytes_come_back",
    ),
    Mutant(
        name="R2 a host has a port",
        file=_CONTRACT,
        old=r'(?::\d{{1,5}})?"',
        new=r'(?::\d{{1,5}})"',
        test=f"{_CLAUSES}r2_however_the_address_is_written_the_same_bytes_come_back",
    ),
    Mutant(
        name="R8 a line end after the token",
        file=_AUTHORIZATION,
        old='token.reveal().encode("ascii"), MODE',
        new='f"{token.reveal()}\\n".encode("ascii"), MODE',
        test="tests/test_authorization.py::test_r8_a_token_is_written_without_a_newline_for_everyone_to_read",
    ),
    Mutant(
        name="R8 the sidecar alone may read it",
        file=_AUTHORIZATION,
        old="MODE = 0o444",
        new="MODE = 0o400",
        test=f"{_CLAUSES}r8_no_restart_of_the_daemon_changes_the_token",
    ),
    Mutant(
        name="R8 every start draws a new one",
        file=_AUTHORIZATION,
        old="    if data is None:\n",
        new="    if data is None or given is None:\n",
        test=f"{_CLAUSES}r8_no_restart_of_the_daemon_changes_the_token",
    ),
    Mutant(
        name="R8 characters that no header bears",
        file="sidecar/cli.py",
        old="partial(secrets.token_urlsafe, 32)",
        new='partial("{}/{}".format, secrets.token_hex(16), secrets.token_hex(16))',
        test=f"{_CLAUSES}r8_no_restart_of_the_daemon_changes_the_token",
    ),
    Mutant(
        name="R9 compared until the first difference",
        file=_CONTRACT,
        old='return compare_digest(given.encode("utf-8", "surrogateescape"), token.reveal().encode())',
        new="return given == token.reveal()",
        test="tests/test_contract.py::test_r9_the_token_is_revealed_to_a_comparison_in_constant_time_and_nowhere_else",
    ),
    Mutant(
        name="R9 white space counts",
        file=_CONTRACT,
        old='    given = given.strip(" \\t")\n',
        new="",
        test="tests/test_contract.py::test_r9_the_token_is_accepted_raw_trimmed_and_as_a_bearer",
    ),
    Mutant(
        name="R9 a scheme must stand in front",
        file=_CONTRACT,
        old='    given = given.strip(" \\t")\n',
        new='    given = given.strip(" \\t") if given.lower().startswith(_SCHEME) else ""\n',
        test="tests/test_endpoint.py::test_r9_the_token_opens_raw_or_as_a_bearer_under_any_case_of_the_name",
    ),
    Mutant(
        name="R10 a charset",
        file=_CONTRACT,
        old='content_type: str = "application/json"',
        new='content_type: str = "application/json; charset=utf-8"',
        test=_BYTES,
    ),
    Mutant(
        name="R10 it may be stored",
        file=_CONTRACT,
        old="Content-Length: %d\\r\\nCache-Control: no-store\\r\\n",
        new="Content-Length: %d\\r\\n",
        test=_BYTES,
    ),
    Mutant(name="R10 201", file=_CONTRACT, old="Answer.of(200, ", new="Answer.of(201, ", test=_BYTES),
    Mutant(name="R10 JSON for people", file=_CONTRACT, old='separators=(",", ":")', new="indent=2", test=_BYTES),
    Mutant(
        name="R10 escapes that double the length",
        file=_CONTRACT,
        old='separators=(",", ":")).encode("ascii")',
        new='separators=(",", ":")).replace("/", "\\\\u002f").encode("ascii")',
        test=f"{_CLAUSES}r10_the_longest_session_token_leaves_the_body_under_10000_bytes",
    ),
    Mutant(
        name="R10 closed after 55 seconds",
        file=_HTTP,
        old="idle: float = 75.0",
        new="idle: float = 55.0",
        test=f"{_CLAUSES}r10_a_connection_that_was_silent_for_a_minute_is_still_there",
    ),
    Mutant(
        name="R10 HTTP/1.1 alone",
        file=_HEADS,
        old="not in ((1, 0), (1, 1))",
        new="not in ((1, 1),)",
        test=f"{_CLAUSES}r10_http_1_0_and_whoever_closes_get_the_same_and_a_close",
    ),
    Mutant(
        name="R10 kept against the client's will",
        file=_HEADS,
        old="is_last=message.should_close or message.upgrade",
        new="is_last=message.upgrade",
        test=f"{_CLAUSES}r10_http_1_0_and_whoever_closes_get_the_same_and_a_close",
    ),
    Mutant(
        name="R11 the name that STS has for it",
        file=_FORMATS,
        old='"Token": held.session_token.reveal(),',
        new='"SessionToken": held.session_token.reveal(),',
        test=_BYTES,
    ),
    Mutant(
        name="R11 a field more, with a comma in it",
        file=_FORMATS,
        old='"AccountId": session.identity.account,',
        new='"AccountId": session.identity.account,\n        "SessionName": session.identity.session_name,',
        test=f"{_CLAUSES}r11_r12_no_client_can_misread_the_document_whatever_the_session_is_called",
    ),
    Mutant(
        name="R12 fractions of a second",
        file=_FORMATS,
        old='strftime("%Y-%m-%dT%H:%M:%SZ")',
        new='strftime("%Y-%m-%dT%H:%M:%S.%fZ")',
        test=f"{_CLAUSES}r11_r12_no_client_can_misread_the_document_whatever_the_session_is_called",
    ),
    Mutant(
        name="R12 an offset",
        file=_FORMATS,
        old='strftime("%Y-%m-%dT%H:%M:%SZ")',
        new='isoformat(timespec="seconds")',
        test=f"{_CLAUSES}r11_r12_no_client_can_misread_the_document_whatever_the_session_is_called",
    ),
    Mutant(
        name="R12 local time called UTC",
        file=_FORMATS,
        old="instant.astimezone(UTC).strftime(",
        new="instant.strftime(",
        test="tests/test_contract.py::test_r12_no_expiration_is_told_later_than_it_is_or_a_second_earlier",
    ),
    Mutant(
        name="R13 an error with 200",
        file=_CONTRACT,
        old="(denied_from, error(503, code, message))",
        new="(denied_from, error(200, code, message))",
        test=_SOUND,
    ),
    Mutant(
        name="R13 200 without a key",
        file=_CONTRACT,
        old="if fields and all(fields.values()) else None",
        new="if fields else None",
        test=_SOUND,
    ),
    Mutant(
        name="R13 200 with what has expired",
        file=_CONTRACT,
        old="answers.insert(0, (expiration - FLOOR, granted))",
        new="answers.insert(0, (inf, granted))",
        test=_SOUND,
    ),
    Mutant(
        name="R14 an old denial outranks what lives",
        file=_CONTRACT,
        old="answers.insert(0, (expiration - FLOOR, granted))",
        new="answers.insert(0, (min(expiration - FLOOR, denied_from), granted))",
        test=_LIVES,
    ),
    Mutant(
        name="R14 a failure shortens what is held",
        file=_SCHEDULE,
        old="return replace(self, due=now + backoff",
        new="return replace(self, expiration=min(self.expiration, now + 600.0), due=now + backoff",
        test=_LIVES,
    ),
    Mutant(
        name="R14 a state that cannot be kept is an error",
        file="sidecar/state.py",
        old='            self._written, self._reason = data, ""\n        except (OSError, ValueError) as error:',
        new='            self._written, self._reason = data, ""\n        except ValueError as error:',
        test=_LIVES,
    ),
    Mutant(
        name="R15 refreshed at seven tenths",
        file=_SCHEDULE,
        old="DUE_AT, DUE_SPREAD = 0.5, 0.1",
        new="DUE_AT, DUE_SPREAD = 0.7, 0.1",
        test=f"{_CLAUSES}r15_hour_after_hour_enough_is_left_and_the_end_never_goes_back",
    ),
    Mutant(
        name="R15 no warning of short sessions",
        file="sidecar/config.py",
        old="COMFORTABLE = 2_700",
        new="COMFORTABLE = 900",
        test=f"{_CLAUSES}r15_sessions_that_are_too_short_for_sdks_are_warned_of_and_served",
    ),
    Mutant(
        name="R16 a floor of a minute",
        file=_SCHEDULE,
        old="FLOOR = 30.0",
        new="FLOOR = 60.0",
        test=f"{_CLAUSES}r16_it_is_served_until_thirty_seconds_before_its_end",
    ),
    Mutant(
        name="R16 served until the end",
        file=_CONTRACT,
        old="answers.insert(0, (expiration - FLOOR, granted))",
        new="answers.insert(0, (expiration, granted))",
        test=f"{_CLAUSES}r16_it_is_served_until_thirty_seconds_before_its_end",
    ),
    Mutant(
        name="R17 told when signatures fail already",
        file=_REFRESHER,
        old="SKEW_WARNING, SKEW_CAUSE = 60.0, 240.0",
        new="SKEW_WARNING, SKEW_CAUSE = 300.0, 300.0",
        test=f"{_CLAUSES}r17_a_clock_that_is_wrong_is_told_before_signatures_fail",
    ),
    Mutant(
        name="R17 only a clock that is behind",
        file=_REFRESHER,
        old='"warning" if abs(seconds) >= SKEW_WARNING',
        new='"warning" if seconds >= SKEW_WARNING',
        test=f"{_CLAUSES}r17_a_clock_that_is_wrong_is_told_before_signatures_fail",
    ),
    Mutant(
        name="R18 a denial is final at once",
        file=_CONTRACT,
        old="wrong.since + DENIAL if wrong",
        new="wrong.since if wrong",
        test=_COLD,
    ),
    Mutant(
        name="R18 trouble is final like a denial",
        file=_CONTRACT,
        old="if wrong and wrong.failure.kind is Kind.DENIED else inf",
        new="if wrong else inf",
        test=f"{_CLAUSES}r18_r19_without_credentials_trouble_with_the_token_file_stays_503",
    ),
    Mutant(
        name="R18 an unknown path is retried",
        file=_CONTRACT,
        old='PATH = "path", 404,',
        new='PATH = "path", 503,',
        test=_REFUSALS,
    ),
    Mutant(
        name="R18 403 for a missing token",
        file=_CONTRACT,
        old='AUTHORIZATION = "authorization", 401,',
        new='AUTHORIZATION = "authorization", 403,',
        test=_REFUSALS,
    ),
    Mutant(
        name="R18 429 in a crowd",
        file=_CONTRACT,
        old='CROWDED = "crowded", 503,',
        new='CROWDED = "crowded", 429,',
        test="tests/test_contract.py::test_r18_every_refusal_has_the_status_of_its_class",
    ),
    Mutant(
        name="R19 errors tell when to come back",
        file=_CONTRACT,
        old='def error(status: int, code: str, message: str, extra: str = "")',
        new='def error(status: int, code: str, message: str, extra: str = "Retry-After: 5\\r\\n")',
        test=_COLD,
    ),
    Mutant(
        name="R19 a crowd is told when to come back",
        file=_CONTRACT,
        old='"Too many connections are open to this listener."',
        new='"Too many connections are open to this listener.", "Retry-After: 1\\r\\n"',
        test="tests/test_contract.py::test_r19_no_answer_makes_a_client_sleep_or_go_elsewhere",
    ),
    Mutant(
        name="R20 a wait that clients give up in",
        file=_BOARD,
        old="PATIENCE = 0.75",
        new="PATIENCE = 1.5",
        test=f"{_CLAUSES}r20_whoever_comes_too_early_is_answered_within_800_milliseconds",
    ),
    Mutant(
        name="R20 every piece of news starts the wait again",
        file=_BOARD,
        old="            async with asyncio.timeout(self.patience):\n                while self._entries[key].waits:\n",
        new="            while self._entries[key].waits:\n                async with asyncio.timeout(self.patience):\n",
        test=f"{_CLAUSES}r20_news_that_bring_no_credentials_do_not_prolong_the_wait",
    ),
    Mutant(
        name="R21 a request hurries the refresh",
        file=_DAEMON,
        old="bind_loopback, self._endpoint.handle, ",
        new="bind_loopback, lambda request: self.refresher.ask() or self._endpoint.handle(request), ",
        test=f"{_CLAUSES}r21_no_number_of_requests_calls_sts_or_moves_the_schedule",
    ),
    Mutant(name="R23 no drain", file=_DAEMON, old="timeout=self._config.drain", new="timeout=0.0", test=_DRAINED),
    Mutant(
        name="R23 no refresh in the drain",
        file=_DAEMON,
        old="            self._is_stopping = True\n",
        new="            self._is_stopping = True\n            self.refresher.turn = lambda: None\n",
        test=_DRAINED,
    ),
    Mutant(
        name="R23 listeners close first",
        file=_HTTP,
        old="        self.is_closing = True\n",
        new="        self.is_closing = True\n        for listener in self._listeners:\n            listener.close()\n",
        test="tests/test_http.py::test_r23_closing_finishes_what_is_in_flight_and_closes_what_is_idle",
    ),
    Mutant(
        name="R24 the port is not taken back",
        file="sidecar/sockets.py",
        old='socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)',
        new="socket.socket()\n    sock.bind((address, port))\n    sock.listen()",
        test=_RESTARTED,
    ),
    Mutant(
        name="R24 what was held is forgotten",
        file=_DAEMON,
        old="self._state.restore(config.targets, outside.clock()) if self._state else Ledger()",
        new="Ledger()",
        test=_RESTARTED,
    ),
    Mutant(
        name="R24 ready before the first session",
        file="sidecar/status.py",
        old=".schedule.is_alive(seen.now)]",
        new=".schedule.backs_off(seen.now)]",
        test=f"{_CLAUSES}r24_without_a_state_readiness_waits_for_the_first_session",
    ),
    Mutant(
        name="R25 the status shows the access key",
        file="sidecar/status.py",
        old='told = {"role": hop.role.arn, ',
        new='told = {"role": hop.role.arn, "key": session and session.credentials.access_key_id, ',
        test=_APART,
    ),
    Mutant(
        name="R25 a refusal logs what was sent",
        file=_ENDPOINT,
        old="            return self.board.refuse(",
        new=(
            '            __import__("logging").getLogger("sidecar").warning("refused %s", dict(request.headers))\n'
            "            return self.board.refuse("
        ),
        test=_APART,
    ),
    Mutant(
        name="R25 probes want a token",
        file="sidecar/status.py",
        old='        if request.method not in ("GET", "HEAD"):\n',
        new='        if request.method not in ("GET", "HEAD") or "authorization" not in request.headers:\n',
        test=_APART,
    ),
    Mutant(
        name="R15 what ends sooner is served",
        file=_REFRESHER,
        old="return max(SHORTEST, self.ledger.of(hop).schedule.expiration - self._clock() - ROUNDING)",
        new="return SHORTEST",
        test=f"{_CLAUSES}r15_a_session_that_ends_sooner_does_not_replace_one_that_lives",
    ),
    Mutant(
        name="R8 a directory that the umask closes",
        file=_FILES,
        old="os.chmod(path, 0o755 | ",
        new="os.chmod(path, 0o700 | ",
        test="tests/test_authorization.py::test_r8_every_uid_may_look_into_the_directory_whatever_the_umask",
    ),
    Mutant(
        name="R23 a refresh that is asked for loses the end",
        file=_REFRESHER,
        old="                        await self._stir.wait()\n",
        new="                        await asyncio.wait_for(self._stir.wait(), 3600)\n",
        test=f"{_CLAUSES}r23_a_refresh_asked_for_at_the_end_does_not_keep_the_daemon_from_ending",
    ),
    Mutant(
        name="R27 a line end after the role",
        file=_IMDS,
        old="CREDENTIALS: _text(name),",
        new='CREDENTIALS: _text(f"{name}\\n"),',
        test=f"{_METADATA}a_client_gets_a_token_the_role_and_its_credentials",
    ),
    Mutant(
        name="R27 no lifetime in the answer",
        file=_IMDS,
        old='f"{_TTL}: {seconds}\\r\\n"',
        new='""',
        test=f"{_METADATA}a_lifetime_of_up_to_six_hours_is_granted_as_it_is_asked",
    ),
    Mutant(
        name="R27 any lifetime will do",
        file=_IMDS,
        old="return seconds if seconds <= LONGEST else 0",
        new="return min(seconds, LONGEST) or LONGEST",
        test=f"{_METADATA}any_other_lifetime_is_400",
    ),
    Mutant(
        name="R27 a token for ever",
        file=_IMDS,
        old="return is_signed and self.board.clock() < int(end)",
        new="return is_signed",
        test=f"{_METADATA}a_token_is_good_for_as_long_as_was_asked_and_no_longer",
    ),
    Mutant(
        name="R27 a token that nobody signed",
        file=_IMDS,
        old="is_signed = hmac.compare_digest(",
        new="is_signed = end.isdigit() or hmac.compare_digest(",
        test=f"{_METADATA}nobody_makes_a_token_himself",
    ),
    Mutant(
        name="R27 a token that is not in time",
        file=_IMDS,
        old="str(ceil(self.board.clock()) + seconds)",
        new="str(int(self.board.clock()) + seconds)",
        test=f"{_METADATA}a_token_is_good_for_as_long_as_was_asked_and_no_longer",
    ),
    Mutant(
        name="R15 a wrong date makes a session immortal",
        file=_REFRESHER,
        old="min(grant.lifetime, hop.duration)",
        new="grant.lifetime",
        test="tests/test_refresher.py::test_a_session_lives_no_longer_than_was_asked_for_whatever_the_date_says",
    ),
    Mutant(
        name="R27 version 1 in secret",
        file=_IMDS,
        old="else self._tokens is MetadataTokens.OPTIONAL",
        new="else True",
        test=f"{_METADATA}without_a_token_it_is_401_and_not_a_byte_of_a_key",
    ),
    Mutant(
        name="R27 a proxy may ask",
        file=_IMDS,
        old="if found := stranger(request):",
        new='if (found := stranger(request)) and request.method != "PUT":',
        test=f"{_METADATA}what_a_proxy_or_a_browser_sends_is_refused_on_every_path",
    ),
    Mutant(
        name="R27 a name that clients misread",
        file=_IMDS,
        old='re.sub(r"[^A-Za-z0-9_-]", "-", target.hop.role.name)',
        new="target.hop.role.name",
        test=f"{_METADATA}a_role_that_clients_would_misread_is_listed_under_a_plain_name",
    ),
    Mutant(
        name="R27 sessions that clients extend",
        file="sidecar/config.py",
        old="if target.hop.duration < _EXTENDED:",
        new="if target.hop.duration < 900:",
        test="tests/test_config.py::test_every_bad_input_has_its_own_message",
    ),
    Mutant(
        name="R28 a process's token by the endpoint's name",
        file="sidecar/formats.py",
        old='"SessionToken" if name == "Token" else name',
        new="name",
        test="tests/test_endpoint.py::test_r28_a_credential_process_is_served_its_own_shape_at_its_own_path_for_the_same_token",
    ),
    Mutant(
        name="R28 a version in words",
        file="sidecar/formats.py",
        old='{"Version": 1, **renamed}',
        new='{"Version": "1", **renamed}',
        test="tests/test_endpoint.py::test_r28_a_credential_process_is_served_its_own_shape_at_its_own_path_for_the_same_token",
    ),
    Mutant(
        name="R28 a failure on stdout",
        file="sidecar/cli.py",
        old='print(f"credential-sidecar: {sentence}", file=sys.stderr)',
        new='print(f"credential-sidecar: {sentence}")',
        test="tests/test_cli.py::test_r28_get_fails_with_one_line_on_stderr_and_reads_nothing",
    ),
    Mutant(
        name="R29 written in place",
        file=_CREDENTIALS_FILE,
        old='files.write(opened, name, text.encode("ascii"), self._place.mode, self._place.owner)',
        new='open(self._place.path, "w").write(text)',
        test="tests/test_credentials_file.py::test_d30_r29_a_reader_sees_the_old_file_or_the_new_one_whole",
    ),
    Mutant(
        name="R29 the umask decides who reads",
        file=_FILES,
        old="        os.fchmod(file.fileno(), mode)\n",
        new="",
        test=f"{_FILE}the_mode_is_what_was_asked_for_whatever_the_umask",
    ),
    Mutant(
        name="R29 nobody's but the sidecar's",
        file=_FILES,
        old="os.fchown(file.fileno(), *owner)",
        new="os.fchown(file.fileno(), -1, -1)",
        test=f"{_FILE}it_is_given_to_its_owner_before_it_is_seen",
    ),
    Mutant(
        name="R29 boto 2's name is left out",
        file="sidecar/formats.py",
        old='    ("aws_security_token", "Token"),\n',
        new="",
        test=f"{_FILE}a_section_for_each_target_has_both_names_of_the_session_token",
    ),
    Mutant(
        name="R29 an expired section stays",
        file=_CREDENTIALS_FILE,
        old="if each.schedule.is_alive(now) and each.session)",
        new="if each.session)",
        test=f"{_FILE}a_target_that_cannot_be_served_loses_its_section_at_the_floor",
    ),
)

_WORKLOAD = "sidecar/workload.py"
SERVING = (
    Mutant(
        name="a server makes the last of a round wait for two",
        file="sidecar/turns.py",
        old="self._queue.poll(wait, 1)",
        new="self._queue.poll(wait)",
        test="tests/test_turns.py::test_nobody_waits_for_more_than_one_turn_of_each_other",
    ),
    Mutant(
        name="a server takes a body that comes in chunks for none",
        file=_HEADS,
        old="None if message.chunked else int",
        new="0 if message.chunked else int",
        test="tests/test_heads.py::test_a_head_says_how_long_its_body_is",
    ),
    Mutant(
        name="a server remembers every head",
        file=_HEADS,
        old="lru_cache(maxsize=REMEMBERED)",
        new="lru_cache(maxsize=None)",
        test="tests/test_heads.py::test_no_more_than_so_many_are_remembered",
    ),
)

EXEC = (
    Mutant(
        name="exec tells the program what the terminal told it",
        file=_WORKLOAD,
        old=" and not (number in _BY_KERNEL and code == _KERNEL)",
        new="",
        test="tests/test_workload.py::test_what_the_terminal_sends_to_everybody_is_not_sent_twice",
    ),
    Mutant(
        name="exec leaves Python's own ignored signals",
        file=_WORKLOAD,
        old="setsigdef=_IGNORED",
        new="setsigdef=[]",
        test="tests/test_workload.py::test_the_program_finds_signals_as_any_program_does",
    ),
    Mutant(
        name="exec starts again what was asked to end",
        file=_WORKLOAD,
        old="return code if is_ending else None",
        new="return None",
        test="tests/test_workload.py::test_who_asks_for_the_end_while_a_program_is_ended_gets_it",
    ),
    Mutant(
        name="exec forgets what came while it asked",
        file=_WORKLOAD,
        old="        pause = 0.0 if held else ",
        new="        if held:\n            return held\n        pause = ",
        test="tests/test_workload.py::test_as_pid_1_it_can_be_ended_while_the_daemon_answers",
    ),
    Mutant(
        name="exec takes a stop for a signal",
        file=_WORKLOAD,
        old="        signal.sigtimedwait((), pause)",
        new="        if signal.sigtimedwait(_ENDING, pause):\n            return _BY_SIGNAL",
        test="tests/test_workload.py::test_a_wait_that_was_stopped_is_ended_by_no_signal",
    ),
    Mutant(
        name="exec tells the program of the end of its own wait",
        file=_WORKLOAD,
        old=", signal.SIGALRM}, 128",
        new="}, 128",
        test="tests/test_workload.py::test_the_end_of_a_wait_is_not_sent_and_an_alarm_of_somebody_else_is",
    ),
    Mutant(
        name="exec watches no longer what a signal did not end",
        file=_WORKLOAD,
        old="due - self.wall()) == signal.SIGTERM:",
        new="due - self.wall()) in _ENDING:",
        test="tests/test_workload.py::test_a_step_of_the_clock_is_noticed_and_what_survives_a_signal_is_watched_on",
    ),
    Mutant(
        name="exec ends with the daemon",
        file=_WORKLOAD,
        old="            reason = str(error)\n",
        new="            raise\n",
        test="tests/test_workload.py::test_nothing_newer_leaves_the_program_alone_and_is_said",
    ),
    Mutant(
        name="exec hands the profile on",
        file="sidecar/bypass.py",
        old='names=("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),',
        new="names=(),",
        test="tests/test_bypass.py::test_whatever_outranks_keys_is_not_handed_on_even_where_it_is_empty",
    ),
)

INJECT = (
    Mutant(
        name="inject stands last among the init containers",
        file=_INJECTION,
        old="self._place = proxies[-1] + 1 if proxies else 0",
        new="self._place = len(self._others)",
        test=_COMES,
    ),
    Mutant(
        name="inject stands before a mesh's native proxy",
        file=_INJECTION,
        old="self._place = proxies[-1] + 1 if proxies else 0",
        new="self._place = 0",
        test=_COMES,
    ),
    Mutant(
        name="inject stays where another webhook has put it",
        file=_INJECTION,
        old="if self._sidecar.pointer != pointer:",
        new="if self._sidecar.pointer is pointer:",
        test=_COMES,
    ),
    Mutant(
        name="inject writes the EKS webhook's list anew",
        file=_INJECTION,
        old='text = ",".join((*old, *new))',
        new='text = ",".join(new)',
        test=_TOUCHED,
    ),
    Mutant(
        name="inject does not escape a pointer",
        file=_INJECTION,
        old='return key.replace("~", "~0").replace("/", "~1")',
        new='return key.replace("~", "~0")',
        test=_COMES,
    ),
    Mutant(
        name="inject gives a variable twice",
        file=_INJECTION,
        old='[each for each in wanted if each["name"] not in to.env])',
        new="[*wanted])",
        test=_COMES,
    ),
    Mutant(
        name="inject replaces a list that is there",
        file=_INJECTION,
        old="if new and not isinstance(body.get(field), list):",
        new="if new:",
        test=_TOUCHED,
    ),
    Mutant(
        name="inject draws another token the second time",
        file=_INJECTION,
        old="return said if isinstance(said, str) else injector.random_token()",
        new="return injector.random_token()",
        test=_COMES,
    ),
    Mutant(
        name="inject gives a mesh's proxy credentials",
        file=_INJECTION,
        old="else each.name not in conflicts.MESHES",
        new="else bool(each.name)",
        test=_COMES,
    ),
    Mutant(
        name="inject gives everybody the first target's token",
        file=_SIDECARS,
        old="if token and target == asked.targets[0] else",
        new="if token else",
        test=_COMES,
    ),
    Mutant(
        name="inject lets Kubernetes expand what it writes",
        file=_SIDECARS,
        old='"value": text.replace("$", "$$")',
        new='"value": text',
        test=_COMES,
    ),
    Mutant(
        name="inject takes an empty key for none",
        file=_CONFLICTS,
        old='if name in wanted and said.get("value") == wanted[name]["value"]:',
        new='if said.get("value") in (None, "", wanted.get(name, {}).get("value")):',
        test=_DENIED,
    ),
    Mutant(
        name="inject takes hostNetwork",
        file=_CONFLICTS,
        old='if pod.spec.get("hostNetwork"):',
        new='if pod.spec.get("hostNetworks"):',
        test=_DENIED,
    ),
    Mutant(
        name="inject sees Windows in the spec alone",
        file=_CONFLICTS,
        old='if "windows" in system:',
        new='if system[0] == "windows":',
        test=_DENIED,
    ),
    Mutant(
        name="inject takes a container that must end for the sidecar",
        file=_CONFLICTS,
        old="not (each.is_native and command[",
        new="not (each.is_init and command[",
        test=_DENIED,
    ),
    Mutant(
        name="inject takes UDP for TCP",
        file=_CONFLICTS,
        old=' and said.get("protocol") in (None, "", "TCP")',
        new="",
        test=_COMES,
    ),
    Mutant(
        name="inject is silent about a mesh that excludes another port",
        file=_CONFLICTS,
        old="return any(int(found[1]) <= 443",
        new="return name in annotations or any(int(found[1]) <= 443",
        test=_WARNED,
    ),
    Mutant(
        name='inject takes "false" for yes', file=_ANNOTATIONS, old='make="true".__eq__', new="make=bool", test=_COMES
    ),
    Mutant(
        name="inject takes yes for a boolean",
        file=_ANNOTATIONS,
        old='one_of("true", "false", make',
        new='one_of("true", "false", "yes", "no", make',
        test="tests/kube/test_annotations.py::test_what_is_wrong_is_denied_by_its_name",
    ),
    Mutant(
        name="inject falls over a review that is no JSON",
        file=_REVIEWS,
        old="except ValueError:",
        new="except TypeError:",
        test="tests/kube/test_reviews.py::test_what_is_no_review_is_malformed",
    ),
    Mutant(
        name="inject gives a whole rollout one pod's token",
        file=_ROLLOUTS,
        old="if not found.is_drawn:",
        new="if found:",
        test=f"{_ALIKE}each_pod_gets_a_token_of_its_own",
    ),
    Mutant(
        name="inject takes pods for alike that ask for something else",
        file=_ROLLOUTS,
        old='[bool(metadata), metadata.get("annotations"), label, spec]',
        new="[bool(metadata), label, spec]",
        test=f"{_ALIKE}what_is_remembered_is_what_is_found",
    ),
    Mutant(
        name="inject takes a drawn name for nothing wherever it stands",
        file=_ROLLOUTS,
        old="text = text.replace(drawn + ends, _DRAWN + ends)",
        new="text = text.replace(drawn[9:], b'')",
        test=f"{_ALIKE}a_drawn_name_that_says_something_is_looked_at",
    ),
    Mutant(
        name="inject remembers every pod for good",
        file=_ROLLOUTS,
        old="if len(self._known) >= REMEMBERED:",
        new="if not self._known:",
        test=f"{_ALIKE}the_last_few_are_remembered_and_no_answer_that_is_long",
    ),
    Mutant(
        name="inject forgets the uid of what it cannot read",
        file=_REVIEWS,
        old='raise _Malformed("the body is not JSON", _seen(body)) from None',
        new='raise _Malformed("the body is not JSON", "") from None',
        test="tests/kube/test_reviews.py::test_what_is_no_review_is_malformed",
    ),
)

_IN_IAM = "tests/doctor/test_iam.py::test_what_is_wrong_in_iam_is_named_and_settled_by_what_is_printed"
_VALUES, _AT_ENDPOINT = "tests/doctor/test_values.py::test_", "tests/doctor/test_endpoint.py::test_"
DOCTOR = (
    Mutant(
        name="doctor shows every target the first one's token",
        file="sidecar/doctor/__init__.py",
        old="shown[name]) for name in names}",
        new="shown[names[0]]) for name in names}",
        test=f"{_AT_ENDPOINT}25_another_targets_token",
    ),
    Mutant(
        name="doctor takes any JSON for the sidecar",
        file="sidecar/doctor/asking.py",
        old="return Listener.OURS if is_ours else Listener.FOREIGN",
        new="return Listener.OURS",
        test=f"{_VALUES}who_answers_is_told_by_the_form_of_the_answer",
    ),
    Mutant(
        name="doctor calls a clock right that is ahead",
        file="sidecar/doctor/clock.py",
        old="if abs(walk.skew) < SKEW_WARNING:",
        new="if walk.skew < SKEW_WARNING:",
        test=f"{_VALUES}a_clock_is_wrong_that_is_behind_and_one_that_is_ahead",
    ),
    Mutant(
        name="doctor looks for the workload's token in its own root",
        file="sidecar/doctor/disk.py",
        old='path.lstrip("/")',
        new="path",
        test=f"{_VALUES}a_path_of_the_workload_is_looked_at_in_its_own_root",
    ),
    Mutant(
        name="doctor prints an authorization token that is none",
        file="sidecar/doctor/endpoint.py",
        old="if is_newline else ''}",
        new="if is_newline else f' holds {text}'}",
        test=f"{_VALUES}what_is_wrong_with_an_authorization_token_is_said_without_it",
    ),
    Mutant(
        name="doctor is silent about a file that keeps the sidecar from starting",
        file="sidecar/doctor/endpoint.py",
        old="if wrong := held and crooked(names[0], held):",
        new="if wrong := None:",
        test=f"{_AT_ENDPOINT}25_a_newline_in_the_sidecars_own_file_is_an_error_of_its_start",
    ),
    Mutant(
        name="doctor takes everybody for the owner",
        file="sidecar/doctor/facts.py",
        old="self.gid in groups else 0",
        new="self.gid in groups else 6",
        test=f"{_VALUES}whom_a_file_is_for",
    ),
    Mutant(
        name="doctor calls the last problem the cause",
        file="sidecar/doctor/findings.py",
        old="each in findings if each.state is State.PROBLEM",
        new="each in reversed(findings) if each.state is State.PROBLEM",
        test=f"{_VALUES}the_first_problem_is_the_cause_and_the_exit_code",
    ),
    Mutant(
        name="doctor does not say what comes first",
        file="sidecar/doctor/hops.py",
        old='because = because or f"hop {hop.position}"',
        new='because = because or "what is before it"',
        test=f"{_VALUES}a_hop_that_two_targets_share_is_said_once_and_what_follows_is_skipped",
    ),
    Mutant(
        name="doctor prints the password of a proxy",
        file="sidecar/doctor/network.py",
        old='proxy=f"{proxy[0]}:{proxy[1]}"',
        new='proxy=environ.get("HTTPS_PROXY")',
        test=f"{_VALUES}the_proxy_is_the_one_that_botocore_takes_and_its_password_is_not_kept",
    ),
    Mutant(
        name="doctor blames the region wherever DNS is broken",
        file="sidecar/doctor/reach.py",
        old=" and found.elsewhere:",
        new=":",
        test=f"{_VALUES}wherever_the_way_ends_is_a_cause_of_its_own",
    ),
    Mutant(
        name="doctor prints the trust where the permission is missing",
        file="sidecar/doctor/refusals.py",
        old="why, *both[:1])",
        new="why, *both[-1:])",
        test=f"{_VALUES}the_statements_that_are_printed_are_those_that_settle_it",
    ),
    Mutant(
        name="doctor makes a second provider for an audience",
        file="sidecar/doctor/refusals.py",
        old='commands.get(("audience", account), "")',
        new='commands.get(("provider", account), "")',
        test=f"{_VALUES}the_statements_that_are_printed_are_those_that_settle_it",
    ),
    Mutant(
        name="doctor shows a cross as a tick",
        file="sidecar/doctor/report.py",
        old='State.PROBLEM: "✗"',
        new='State.PROBLEM: "✓"',
        test=f"{_VALUES}the_first_problem_is_the_cause_and_the_exit_code",
    ),
    Mutant(
        name="doctor ends with 0 whatever is wrong",
        file="sidecar/doctor/report.py",
        old="return first.part.exit if first and first.part else 0",
        new="return 0",
        test=f"{_VALUES}the_first_problem_is_the_cause_and_the_exit_code",
    ),
    Mutant(
        name="doctor explains by another version's page",
        file="sidecar/doctor/runbook.py",
        old="next(folder / name for folder in folders",
        new="next(folder / name for folder in reversed(folders)",
        test="tests/doctor/test_runbook.py::test_the_pages_of_an_installed_package_come_first",
    ),
    Mutant(
        name="doctor takes an old token for a rotated one",
        file="sidecar/doctor/token.py",
        old="if age > min(_AGED * life, _OLD):",
        new="if age > max(_AGED * life, _OLD):",
        test=f"{_VALUES}a_token_of_a_day_should_be_replaced_by_nine_tenths_of_it",
    ),
    Mutant(
        name="doctor blames the tags that are allowed",
        file="sidecar/doctor/walking.py",
        old="if await self._is_granted(",
        new="if not await self._is_granted(",
        test=f"{_IN_IAM}[18 TagSession not trusted]",
    ),
    Mutant(
        name="doctor takes another target's token for the right one",
        file="sidecar/doctor/workload.py",
        old="or known[target.name] == text:",
        new="or text in known.values():",
        test=f"{_AT_ENDPOINT}25_another_targets_token",
    ),
    Mutant(
        name="doctor prints the keys that outrank the endpoint",
        file="sidecar/doctor/workload.py",
        old='f"{name} is set: {who or',
        new='f"{name}={environ[name]} is set: {who or',
        test=f"{_AT_ENDPOINT}24_what_is_in_the_sidecars_own_environment_is_said_in_the_daemons_words",
    ),
)

_PAGE, _DRAWN = "sidecar/page.py", "tests/test_page.py::test_"
PAGE = (
    Mutant(
        name="page takes text for markup",
        file=_PAGE,
        old="if isinstance(each, Html) else escape(each)",
        new="if isinstance(each, str) else escape(each)",
        test=f"{_DRAWN}every_text_of_the_document_is_escaped",
    ),
    Mutant(
        name="page does not escape its title",
        file=_PAGE,
        old="title=escape(f\"{phase}: {', '.join(names)}\"),",
        new="title=f\"{phase}: {', '.join(names)}\",",
        test=f"{_DRAWN}every_text_of_the_document_is_escaped",
    ),
    Mutant(
        name="page lets in whatever its host has",
        file=_PAGE,
        old="default-src 'none'",
        new="default-src 'self'",
        test=f"{_DRAWN}the_policy_names_style_and_script_by_their_digest_and_lets_nothing_else_in",
    ),
    Mutant(
        name="page shows every phase alike",
        file=_PAGE,
        old='class_=f"phase {phase}"',
        new='class_="phase"',
        test=f"{_DRAWN}target_badge_and_hop_are_coloured_by_phase_and_a_mere_source_is_not",
    ),
    Mutant(
        name="page calls what is expired served",
        file=_PAGE,
        old="is_served = phase in (Phase.FRESH, Phase.STALE)",
        new="is_served = phase != Phase.EMPTY",
        test=f"{_DRAWN}an_expired_target_is_not_served_and_says_since_when",
    ),
    Mutant(
        name="page counts by a clock that is wrong",
        file=_PAGE,
        old='_unix(hop["expiration"]) - self.skew',
        new='_unix(hop["expiration"])',
        test=f"{_DRAWN}remaining_times_are_by_stss_clock_where_the_nodes_is_wrong",
    ),
    Mutant(
        name="page's document has an access key id",
        file="sidecar/status.py",
        old='told = {"role": hop.role.arn,',
        new='told = {"key": session and session.credentials.access_key_id, "role": hop.role.arn,',
        test="tests/test_status.py::test_d16_no_page_tells_a_secret_or_what_only_iam_should_know",
    ),
    Mutant(
        name="page tells of events all that they hold",
        file="sidecar/recent.py",
        old='"message": sentence(event)',
        new='"message": str(event)',
        test="tests/test_recent.py::test_the_latest_come_first_and_the_oldest_go",
    ),
    Mutant(
        name="page remembers every event",
        file="sidecar/recent.py",
        old="deque(maxlen=MOST)",
        new="deque()",
        test="tests/test_recent.py::test_the_latest_come_first_and_the_oldest_go",
    ),
    Mutant(
        name="page does not say that the sidecar is gone",
        file="sidecar/page.js",
        old="      lose();\n",
        new="",
        test="tests/browser/test_status_page.py::test_a_sidecar_that_is_gone_is_said_to_be_gone",
    ),
)

_ALERTS = "grafana/alerts/rules.yaml"
_BY_HAND = "tests/grafana/test_alerts.py::test_what_is_written_by_hand_holds"
ALERTS = (
    Mutant(
        name="alert reads the expiration of a hop",
        file=_ALERTS,
        old="(credential_sidecar_credentials_expiration_timestamp_seconds - time() > 0)",
        new="(credential_sidecar_hop_expiration_timestamp_seconds - time() > 0)",
        test=f"{_BY_HAND}[scrapes]",
    ),
    Mutant(
        name="alert of a vanished job does not wait",
        file=_ALERTS,
        old="for: 15m",
        new="for: 1m",
        test=f"{_BY_HAND}[scrapes]",
    ),
    Mutant(
        name="alert calls nobody where credentials have expired",
        file=_ALERTS,
        old="        for: 30s\n        labels: {severity: critical}",
        new="        for: 30s\n        labels: {severity: warning}",
        test=f"{_BY_HAND}[texts]",
    ),
    Mutant(
        name="alert of a slow burn does not wait", file=_ALERTS, old="for: 1h", new="for: 1m", test=f"{_BY_HAND}[days]"
    ),
    Mutant(
        name="alert of a slow burn comes at ten times the pace",
        file=_ALERTS,
        old="ratio3d < 1 - 0.001",
        new="ratio3d < 1 - 10 * 0.001",
        test=f"{_BY_HAND}[days]",
    ),
    Mutant(
        name="alert of a slow burn outlives it for days",
        file=_ALERTS,
        old=" and credential_sidecar:served:ratio6h < 1 - 0.001",
        new="",
        test=f"{_BY_HAND}[days]",
    ),
    Mutant(
        name="alert looks at all pods for the name of one",
        file=_ALERTS,
        old="credential_sidecar_consecutive_failures{cluster=%[1]q,namespace=%[2]q,target=%[3]q} > 0",
        new="credential_sidecar_consecutive_failures > 0",
        test="tests/grafana/test_files.py::test_a_sentence_of_an_alert_looks_at_the_namespace_that_it_is_about",
    ),
    Mutant(
        name="alert leads to another one's page",
        file=_ALERTS,
        old="docs/runbook-alerts.md#tokenstuck",
        new="docs/runbook-alerts.md#hopdenied",
        test="tests/grafana/test_files.py::test_an_alert_has_all_that_somebody_needs_who_is_called",
    ),
)

MUTANTS = INVARIANTS + DEFECTS + RULES + SERVING + EXEC + INJECT + DOCTOR + PAGE + ALERTS
