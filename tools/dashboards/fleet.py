"""The fleet: what will expire next, who cannot refresh and why, and how STS answers ten thousand pods."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from tools.dashboards import frame
from tools.dashboards.panels import (
    GREEN,
    LEFT,
    ORANGE,
    OUTCOMES,
    PHASES,
    RED,
    STATUSES,
    Panel,
    Row,
    areas,
    heat,
    lines,
    listed,
    number,
)

# Of the pods themselves; what is recorded has no pods any more.
_PODS: Final = 'cluster=~"$cluster",namespace=~"$namespace",pod=~"$workload"'
_F: Final = f'{_PODS},target=~"$target"'
_N: Final = 'cluster=~"$cluster",namespace=~"$namespace"'
_R: Final = f'{_N},target=~"$target"'
_ENDS: Final = f"(credential_sidecar_credentials_expiration_timestamp_seconds{{{_F}}} > 0)"
_RECORDED: Final = " Recorded for namespaces as a whole: the choice of workload does not count here."
_FAILS: Final = f"credential_sidecar:hop_failures:rate5m{{{_R}}}"
_TAKES: Final = f"credential_sidecar:hop_duration_seconds_bucket:rate5m{{{_N}}}"
_ANSWERS: Final = f"credential_sidecar:request_duration_seconds_bucket:rate5m{{{_N}}}"
_FIRST: Final = f"credential_sidecar:credentials_expiration_timestamp_seconds:min{{{_R}}}"
_FAILING: Final = f"credential_sidecar:targets:failing{{{_R}}}"
# The same at every instant of what is shown, so that no namespace comes and goes.
_MOST: Final = f"sum by (namespace) (max_over_time({_FAILING}[$__range] @ end()))"

_NOW = (
    Panel(
        title="Targets with credentials",
        kind=number,
        unit="percentunit",
        description="Share of all targets of all pods that have credentials to serve now." + _RECORDED,
        queries=(
            (f"sum(credential_sidecar:targets:served{{{_R}}}) / sum(credential_sidecar:targets:all{{{_R}}})", ""),
        ),
        base=RED,
        steps=((ORANGE, 0.99), (GREEN, 0.999)),
        decimals=2,
        size=(4, 4),
    ),
    Panel(
        title="Without credentials",
        kind=number,
        description="Targets whose workload gets errors: nothing has arrived yet, or what was held has expired.",
        queries=((f'sum(credential_sidecar_phase{{{_F},phase=~"empty|expired"}})', ""),),
        steps=((RED, 1.0),),
        size=(4, 4),
    ),
    Panel(
        title="Cannot be refreshed",
        kind=number,
        description="Targets whose last attempt failed; they serve what they hold. What fails is below.",
        queries=((f"count(credential_sidecar_consecutive_failures{{{_F}}} > 0) or vector(0)", ""),),
        steps=((ORANGE, 1.0),),
        size=(4, 4),
    ),
    Panel(
        title="First to expire",
        kind=number,
        unit="s",
        description="Life that is left in the credentials that expire first; below 20 minutes somebody is called.",
        queries=((f"min({_ENDS}) - time()", ""),),
        base=RED,
        steps=LEFT,
        size=(4, 4),
    ),
    Panel(
        title="Pod-minutes with credentials",
        kind=number,
        unit="percentunit",
        description="Over three days, all targets of all scraped pods; the objective is 99.9 %.",
        queries=(('min(credential_sidecar:served:ratio3d{cluster=~"$cluster"})', ""),),
        base=RED,
        steps=((GREEN, 0.999),),
        decimals=3,
        size=(4, 4),
    ),
    Panel(
        title="Pods scraped",
        kind=number,
        description="Sidecars that Prometheus sees. One that is not seen raises no alert but SidecarNotScraped.",
        queries=((f"count(credential_sidecar_clock_skew_seconds{{{_PODS}}})", ""),),
        base=RED,
        steps=((GREEN, 1.0),),
        size=(4, 4),
    ),
)
_NEXT = (
    Panel(
        title="What will expire next",
        kind=listed,
        unit="s",
        description="The twenty targets with the least life left. Half an hour is well; less means that "
        "refreshing fails.",
        queries=((f"bottomk(20, {_ENDS}) - time()", "life left"),),
        base=RED,
        steps=LEFT,
        empty="No pod has credentials",
        link=frame.OPEN_POD,
    ),
    Panel(
        title="Life left over the fleet",
        kind=lines,
        unit="s",
        description="Of the pod of each namespace and target that expires first: the least, that of one in twenty "
        "namespaces, and that of half of them. All move between 30 and 60 minutes; where only the lowest line falls "
        "it is one namespace's trouble, where the median falls it is everybody's." + _RECORDED,
        queries=(
            (f"min({_FIRST}) - time()", "first to expire"),
            (f"quantile(0.05, {_FIRST}) - time()", "one in twenty"),
            (f"quantile(0.5, {_FIRST}) - time()", "median"),
        ),
        base=RED,
        steps=((GREEN, 1200.0),),
    ),
    Panel(
        title="Phases",
        kind=areas,
        description="Fresh and stale are served; stale is due for its refresh, or failed to get it. Empty and "
        "expired are not." + _RECORDED,
        queries=((f"sum by (phase) (credential_sidecar:targets:phase{{{_R}}})", "{{phase}}"),),
        colors=PHASES,
    ),
    Panel(
        title="Served life",
        kind=heat,
        unit="s",
        description="How much life credentials had when they were served. Healthy one-hour sessions are served "
        "with 29 to 60 minutes; whatever is below 15 lies in the refresh windows of SDKs, which then "
        "ask at every call." + _RECORDED,
        queries=((f"sum by (le) (credential_sidecar:served_lifetime_seconds_bucket:rate5m{{{_N}}})", "{{le}}"),),
        empty="Nobody asked for credentials",
    ),
)
_WHY = (
    Panel(
        title="Failures by hop and code",
        kind=areas,
        unit="cpm",
        description="Failed attempts a minute. Hop 1 spends the pod's token, hop 2 and later assume a role with "
        "the session before it. The runbook says what to do for each code." + _RECORDED,
        queries=((f"sum by (hop, code) ({_FAILS}) * 60", "hop {{hop}} {{code}}"),),
        empty="No attempt failed",
    ),
    Panel(
        title="Cannot be refreshed: the ten namespaces with most",
        kind=areas,
        description="Targets whose last attempt failed, of the namespaces that had most of them at a time." + _RECORDED,
        queries=((f"sum by (namespace) ({_FAILING}) and topk(10, {_MOST})", "{{namespace}}"),),
        empty="Every target can be refreshed",
    ),
    Panel(
        title="Who fails longest",
        kind=listed,
        description="The twenty targets with the most failures in a row.",
        queries=((f"topk(20, credential_sidecar_consecutive_failures{{{_F}}} > 0)", "failures in a row"),),
        steps=((ORANGE, 3.0), (RED, 10.0)),
        empty="Every target can be refreshed",
        link=frame.OPEN_POD,
    ),
    Panel(
        title="Refreshes by outcome",
        kind=areas,
        unit="cpm",
        description="Attempts a minute: success; denied, which IAM has to cure; unavailable, which passes; "
        "source_gone, where the chain is walked from the token again; token, where there is none to "
        "spend." + _RECORDED,
        queries=((f"sum by (outcome) (credential_sidecar:refreshes:rate5m{{{_R}}}) * 60", "{{outcome}}"),),
        colors=OUTCOMES,
    ),
)
_STS = (
    Panel(
        title="STS calls by region",
        kind=areas,
        unit="reqps",
        description="Calls a second. STS grants an account some 600 in a region, to all callers together." + _RECORDED,
        queries=((f"sum by (region) (credential_sidecar:sts_calls:rate5m{{{_N}}})", "{{region}}"),),
        steps=((ORANGE, 300.0), (RED, 500.0)),
    ),
    Panel(
        title="Throttled calls by region",
        kind=areas,
        unit="reqps",
        description="Calls a second that STS throttles. A pod that asks several regions is counted in each by its"
        " share of calls." + _RECORDED,
        queries=((f"sum by (region) (credential_sidecar:sts_throttled:rate5m{{{_N}}})", "{{region}}"),),
        steps=((RED, 1.0),),
        empty="Nobody is throttled",
    ),
    Panel(
        title="How long STS takes",
        kind=lines,
        unit="s",
        description="Half of the calls are faster than the median, one in a hundred is slower than p99. After 5 s"
        " a call is given up." + _RECORDED,
        queries=tuple(
            (f"histogram_quantile({q}, sum by (hop, le) ({_TAKES})) > 0", f"hop {{{{hop}}}} {name}")
            for q, name in ((0.5, "median"), (0.99, "p99"))
        ),
        steps=((ORANGE, 1.0), (RED, 5.0)),
        empty="No call within five minutes",
    ),
    Panel(
        title="Clock skew",
        kind=lines,
        unit="s",
        description="STS's time less the node's, of the nodes that are furthest ahead and behind. At 300 s "
        "signatures fail." + _RECORDED,
        queries=(
            (f"max(credential_sidecar:clock_skew_seconds:max{{{_N}}})", "node behind"),
            (f"min(credential_sidecar:clock_skew_seconds:min{{{_N}}})", "node ahead"),
        ),
        steps=((ORANGE, 60.0), (RED, 240.0)),
    ),
)
_TOKEN: Final = f"credential_sidecar:token_expiration_timestamp_seconds:min{{{_N}}}"
_TOKENS = (
    Panel(
        title="Life left in tokens",
        kind=lines,
        unit="s",
        description="Of the pod of each namespace whose token ends first: the least, and that of half of the "
        "namespaces. kubelet replaces a token at four fifths of its life: one of an hour never has less than 12 "
        "minutes, one of a day never less than 4 hours. A line that goes on falling is a kubelet that does not rotate."
        + _RECORDED,
        queries=((f"min({_TOKEN}) - time()", "first to expire"), (f"quantile(0.5, {_TOKEN}) - time()", "median")),
        base=RED,
        steps=((GREEN, 300.0),),
        empty="No pod has a token",
    ),
    Panel(
        title="Token rotations and troubles",
        kind=lines,
        unit="cpm",
        description="Tokens that were replaced, and looks that found a new trouble, a minute." + _RECORDED,
        queries=(
            (f"sum(credential_sidecar:token_rotations:rate5m{{{_N}}}) * 60", "rotations"),
            (f"sum by (reason) (credential_sidecar:token_errors:rate5m{{{_N}}}) * 60", "{{reason}}"),
        ),
    ),
)
_SERVING = (
    Panel(
        title="Requests by status",
        kind=areas,
        unit="reqps",
        description="Answers on a target's merits: 200 with credentials; 503, nothing to serve; 403, and STS denies."
        + _RECORDED,
        queries=((f"sum by (status) (credential_sidecar:requests:rate5m{{{_R}}})", "{{status}}"),),
        colors=STATUSES,
        empty="Nobody asked for credentials",
    ),
    Panel(
        title="Refused requests by reason",
        kind=areas,
        description="Requests within ten minutes that were turned away before it was looked whether there are "
        "credentials: a wrong authorization token, a proxy between, a wrong path. Their programs have no credentials "
        "of ours." + _RECORDED,
        queries=((f"sum by (reason) (credential_sidecar:refused:increase10m{{{_N}}})", "{{reason}}"),),
        empty="Nobody was refused",
    ),
    Panel(
        title="How long answers take",
        kind=lines,
        unit="s",
        description="99 of 100 answers are faster. They come from memory; only before the first credentials a "
        "request waits, for 0.8 s at most." + _RECORDED,
        queries=((f"histogram_quantile(0.99, sum by (le) ({_ANSWERS})) > 0", "p99"),),
        steps=((ORANGE, 0.05),),
        empty="Nobody asked for credentials",
    ),
    Panel(
        title="Room for session policies",
        kind=lines,
        unit="percentunit",
        description="The fullest of all: share of the space for session policy and tags that is used. Above 100 %"
        " STS refuses." + _RECORDED,
        queries=((f"max by (hop) (credential_sidecar:packed_policy_ratio:max{{{_R}}})", "hop {{hop}}"),),
        steps=((ORANGE, 0.8), (RED, 1.0)),
    ),
)
ROWS: Final = (
    Row("Now", _NOW),
    Row("What will expire next", _NEXT),
    Row("Who cannot refresh, and why", _WHY),
    Row("STS", _STS),
    Row("Tokens", _TOKENS),
    Row("Workloads", _SERVING),
)


def fleet(runbook: str) -> dashboard.Dashboard:
    """The dashboard of all pods."""
    about = "Credential health of all pods with a credential sidecar: what expires next, who cannot refresh, and why."
    made = frame.frame("Credential sidecars: fleet", frame.FLEET, about, ROWS, runbook)
    for variable in (*frame.places(), frame.workload(), frame.target()):
        made.with_variable(variable)
    return made
