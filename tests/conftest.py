"""What every test shares: hypothesis that finds the same things on every machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Two busy cores make single examples slow without making them wrong; a proof must be as red tomorrow as today.
settings.register_profile(
    "proofs",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("proofs")
