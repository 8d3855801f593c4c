"""One pod's life: its phases, its hops, its refreshes, its token and its workload."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from tools.dashboards import frame
from tools.dashboards.panels import (
    GREEN,
    LEFT,
    ORANGE,
    PHASES,
    RED,
    STATUSES,
    Panel,
    Row,
    areas,
    heat,
    lines,
    number,
    timeline,
    words,
)

_P: Final = 'cluster=~"$cluster",namespace=~"$namespace",pod="$pod"'
_F: Final = f'{_P},target=~"$target"'
_TOOK: Final = "credential_sidecar_hop_duration_seconds"
_PHASE: Final = " + ".join(
    f'{number} * max by (target) (credential_sidecar_phase{{{_F},phase="{phase}"}})'
    for number, (phase, _) in enumerate(PHASES)
)
_STATUS = """\
The status page has this pod's chain hop by hop, and what to do about what fails. From a shell:

```sh
kubectl -n ${namespace} port-forward ${pod} 9912
```

then [http://127.0.0.1:9912/](http://127.0.0.1:9912/). What is wrong, in order, with the fix:

```sh
kubectl -n ${namespace} exec ${pod} -c credential-sidecar -- credential-sidecar doctor
```
"""

_NOW = (
    Panel(
        title="Phase now",
        kind=number,
        description="Fresh and stale are served; stale is due for its refresh, or failed to get it. Empty and "
        "expired are not.",
        queries=((_PHASE, ""),),
        names=PHASES,
        size=(4, 5),
    ),
    Panel(
        title="Life left",
        kind=number,
        unit="s",
        description="Until the served credentials expire. They are replaced with about half an hour left.",
        queries=((f"min((credential_sidecar_credentials_expiration_timestamp_seconds{{{_F}}} > 0) - time())", ""),),
        base=RED,
        steps=LEFT,
        empty="It has had none yet",
        size=(4, 5),
    ),
    Panel(
        title="Failures in a row",
        kind=number,
        description="Of the hop that keeps a target back; 0 is well.",
        queries=((f"max(credential_sidecar_consecutive_failures{{{_F}}})", ""),),
        steps=((ORANGE, 1.0), (RED, 10.0)),
        size=(4, 5),
    ),
    Panel(title="Ask this pod", kind=words, description="Where the rest is said.", content=_STATUS, size=(12, 5)),
)
_LIFE = (
    Panel(
        title="Phases",
        kind=timeline,
        description="A line for each target. Marks are refreshes that succeeded (blue) and attempts that failed (red).",
        queries=((_PHASE, "{{target}}"),),
        names=PHASES,
        size=(24, 5),
    ),
    Panel(
        title="Life left, hop by hop",
        kind=lines,
        unit="s",
        description="The last hop's is what is served. Those before it only sign the next walk: they lapse in "
        "between, and nothing is wrong with that.",
        queries=(
            (
                f"(credential_sidecar_hop_expiration_timestamp_seconds{{{_F}}} > 0) - time() > 0",
                "{{target}} hop {{hop}}",
            ),
        ),
        empty="No hop has a session",
    ),
    Panel(
        title="Attempts that failed",
        kind=areas,
        description="Within five minutes, by hop and code; the runbook says what to do for each.",
        queries=(
            (
                f"sum by (hop, code) (increase(credential_sidecar_hop_failures_total{{{_F}}}[5m])) > 0",
                "hop {{hop}} {{code}}",
            ),
        ),
        empty="No attempt failed",
    ),
    Panel(
        title="STS calls",
        kind=areas,
        description="Within five minutes, by hop and region. A healthy pod makes two calls in half an hour.",
        queries=(
            (
                f"sum by (hop, region) (increase(credential_sidecar_sts_calls_total{{{_P}}}[5m]))",
                "hop {{hop}} {{region}}",
            ),
        ),
    ),
    Panel(
        title="How long STS took",
        kind=lines,
        unit="s",
        description="Average of the calls of five minutes. After 5 s a call is given up.",
        queries=(
            (
                f"sum by (hop) (rate({_TOOK}_sum{{{_P}}}[5m])) / sum by (hop) (rate({_TOOK}_count{{{_P}}}[5m]) > 0)",
                "hop {{hop}}",
            ),
        ),
        steps=((ORANGE, 1.0), (RED, 5.0)),
        empty="No call within five minutes",
    ),
)
_AROUND = (
    Panel(
        title="Life left in the token",
        kind=lines,
        unit="s",
        description="kubelet replaces it at four fifths of its life: the line must jump up long before it is 0.",
        queries=((f"(credential_sidecar_token_expiration_timestamp_seconds{{{_P}}} > 0) - time()", "token"),),
        base=RED,
        steps=((GREEN, 300.0),),
        empty="There is no token",
        size=(8, 7),
    ),
    Panel(
        title="Clock skew",
        kind=lines,
        unit="s",
        description="STS's time less the node's; above 0 the node is behind. At 300 s signatures fail.",
        queries=((f"credential_sidecar_clock_skew_seconds{{{_P}}}", "skew"),),
        steps=((ORANGE, 60.0), (RED, 240.0)),
        size=(8, 7),
    ),
    Panel(
        title="Room for session policies",
        kind=lines,
        unit="percentunit",
        description="Share of the space for session policy and tags that is used. Above 100 % STS refuses.",
        queries=((f"credential_sidecar_packed_policy_ratio{{{_F}}}", "{{target}} hop {{hop}}"),),
        steps=((ORANGE, 0.8), (RED, 1.0)),
        size=(8, 7),
    ),
)
_WORKLOAD = (
    Panel(
        title="Requests",
        kind=areas,
        description="Within five minutes: by status where they were answered on their merits, by reason where "
        "they were refused.",
        queries=(
            (f"sum by (status) (increase(credential_sidecar_requests_total{{{_F}}}[5m]))", "{{status}}"),
            (f"sum by (reason) (increase(credential_sidecar_refused_total{{{_P}}}[5m])) > 0", "refused: {{reason}}"),
        ),
        colors=STATUSES,
    ),
    Panel(
        title="Served life",
        kind=heat,
        unit="s",
        description="How much life credentials had when they were served.",
        queries=((f"sum by (le) (increase(credential_sidecar_served_lifetime_seconds_bucket{{{_P}}}[5m]))", "{{le}}"),),
        empty="Nobody asked for credentials",
    ),
)
ROWS: Final = (
    Row("Now", _NOW),
    Row("Its life", _LIFE),
    Row("What it depends on", _AROUND),
    Row("Its workload", _WORKLOAD),
)


def pod(runbook: str) -> dashboard.Dashboard:
    """The dashboard of one pod."""
    about = "One pod's credential sidecar: what it serves, when it refreshed, what failed and where."
    made = frame.frame("Credential sidecars: pod", frame.POD, about, ROWS, runbook)
    for variable in (*frame.places(), frame.workload(), frame.pod(), frame.target()):
        made.with_variable(variable)
    refreshed = f"changes(credential_sidecar_credentials_refreshed_timestamp_seconds{{{_F}}}[1m]) > 0"
    failed = f'sum by (target) (increase(credential_sidecar_refreshes_total{{{_F},outcome!="success"}}[1m])) > 0'
    made.annotation(frame.mark("Refreshed", "blue", refreshed))
    return made.annotation(frame.mark("Refresh failed", RED, failed))
