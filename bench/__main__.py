"""`python -m bench`: the figures, measured side by side on this machine; exit 1 only where they cannot be measured."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from platform import python_version
from time import perf_counter

from bench import idle, memory, reviews, serving, start
from bench.figures import CannotMeasureError, Figure, Plan, table
from bench.stage import stage

ROOMS = {
    "start": start.measure,
    "serving": serving.measure,
    "reviews": reviews.measure,
    "memory": memory.measure,
    "idle": idle.measure,
}
# Idle windows hold two polls of the token each.
FULL = Plan(runs=5, walks=1000, load=0.3, idle=4.0)
QUICK = Plan(runs=3, walks=100, load=0.3, idle=4.0)


def main() -> int:
    """Measures what is asked for and prints the table."""
    options = _parser().parse_args()
    plan = QUICK if options.quick else FULL
    plan = replace(plan, runs=options.runs or plan.runs)
    began, noise, figures = perf_counter(), [_loop()], list[Figure]()
    try:
        with stage() as here:
            for name in options.only or ROOMS:
                print(f"measuring: {name} …", file=sys.stderr, flush=True)
                figures.extend(ROOMS[name](here, plan))
                noise.append(_loop())
    except CannotMeasureError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(table(figures))
    seconds = perf_counter() - began
    print(f"\nMedians of {plan.runs} rounds or more, ours and the baseline in turn; {seconds:.0f} s in all.")
    print(_machine(noise))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROOMS, help="this figure (may be said more than once)")
    parser.add_argument("--runs", type=int, metavar="N", help=f"rounds (default {FULL.runs})")
    parser.add_argument("--quick", action="store_true", help="shorter loads and fewer walks, for CI")
    return parser


def _loop() -> float:
    """The seconds that a fixed piece of work takes: where they spread, so do the figures."""
    began = perf_counter()
    sum(number * number for number in range(1_000_000))
    return perf_counter() - began


def _machine(noise: list[float]) -> str:
    spread = 100 * (max(noise) / min(noise) - 1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "aiobotocore"))
    load = os.getloadavg()[0]
    return (
        f"Python {python_version()}, {packages}; {os.cpu_count()} cores, load average {load:.1f}; "
        f"a fixed loop varied by {spread:.0f} % in between: differences below that are noise."
    )


if __name__ == "__main__":
    sys.exit(main())
