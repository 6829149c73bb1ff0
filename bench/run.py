"""Measures what bench/README.md lists and writes bench/results: `python bench/run.py [NAME ...]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from record import Measurement, Target, load_1min

ROOT = Path(__file__).parents[1]
Figures = dict[str, float]


def definitions() -> Figures:
    """Load all definitions in a fresh process."""
    program = "from test_infra.definitions import defs; defs().resolve_all_job_defs()"
    started = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, check=True, timeout=120)
    return {"load_s": time.monotonic() - started}


def stack() -> Figures:
    """Bring a stack up and down."""
    from test_infra.stack import AttachedLease, StackSpec, down, up

    lease = AttachedLease()
    started = time.monotonic()
    running = up(StackSpec(), lease=lease)
    usable = time.monotonic()
    starts = {f"{name}_start_s": endpoint.start_s for name, endpoint in running.endpoints.items()}
    down(running.id)
    lease.release()
    return {"usable_s": usable - started, **starts, "down_s": time.monotonic() - usable}


def first_row() -> Figures:
    """From nothing until a row of the source is in the mirror with the same values."""
    from pipeline import running, shop
    from workload import row_arrives

    started = time.monotonic()
    with running(shop()) as stack:
        streaming = time.monotonic()
        row_arrives(stack, shop())
        return {"streaming_s": streaming - started, "verified_s": time.monotonic() - started}


def e2e() -> Figures:
    """The whole command as a shell sees it; a run that is not green is not measured."""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", "from test_infra.cli import main; main()", "run", "e2e"], cwd=ROOT)
    took_s = time.monotonic() - started
    if ended.returncode:
        raise SystemExit(f"e2e ended with {ended.returncode}, so its time says nothing")
    return {"wall_s": took_s}


def lag() -> Figures:
    """Lag under a steady 100 changes/s, after warm-up."""
    from pipeline import running, shop
    from workload import lag_at

    with running(shop()) as stack:
        return lag_at(stack, shop(), rate_per_s=100, warm_up_s=15, measured_s=60)


def drain() -> Figures:
    """A backlog that waits in Kafka, until it is in change log and mirror."""
    from pipeline import running, shop
    from workload import drained

    with running(shop()) as stack:
        return drained(stack, shop(), changes=200_000)


MEASUREMENTS: dict[str, tuple[Callable[[], Figures], int, tuple[Target, ...]]] = {
    "definitions": (definitions, 5, (Target("load_s", 3),)),
    "stack": (stack, 5, (Target("usable_s", 8),)),
    "first_row": (first_row, 3, (Target("verified_s", 15),)),
    "e2e": (e2e, 2, (Target("wall_s", 75),)),
    "lag": (
        lag,
        2,
        (
            Target("changes_p50_s", 0.35),
            Target("changes_p95_s", 0.7),
            Target("mirror_p95_s", 1.0),
        ),
    ),
    "drain": (drain, 2, (Target("after_first_batch_changes_per_s", 20_000, at_least=True),)),
}


def main(wanted: list[str]) -> None:
    """Make every wanted measurement; all when none is named."""
    if unknown := set(wanted) - set(MEASUREMENTS):
        raise SystemExit(f"there is no measurement {', '.join(sorted(unknown))}; known: {', '.join(MEASUREMENTS)}")
    for name in wanted or MEASUREMENTS:
        measure, runs, targets = MEASUREMENTS[name]
        measurement = Measurement(name, (measure.__doc__ or "").strip(), targets)
        for figures, load in each_run(measure, runs):
            measurement.add(load, figures)
            print(f"{name}: " + ", ".join(f"{figure} {value:,.3f}" for figure, value in figures.items()), flush=True)
        for target in targets:
            verdict = "met" if target.met(measurement.median(target.figure)) else "NOT met"
            print(f"{name}: {target.figure} median {measurement.median(target.figure):,.3f}, {target}: {verdict}")
        print(f"{name}: {measurement.write().relative_to(ROOT)}", flush=True)


def each_run(measure: Callable[[], Figures], runs: int) -> Iterator[tuple[Figures, float]]:
    """Figures and load before, run by run; each has a state folder and a stack of its own."""
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="test_infra_bench_") as home:
            os.environ.update(TEST_INFRA_HOME=home, TEST_INFRA_STACK=f"bench-{number}")
            load = load_1min()
            yield measure(), load


if __name__ == "__main__":
    main(sys.argv[1:])
