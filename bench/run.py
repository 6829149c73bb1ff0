"""Measures what bench/README.md lists and writes bench/results: `python bench/run.py [NAME ...]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from record import Measurement, Target, machine

from test_infra.cdc.pipeline.running import RunningPipeline

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
    with running(shop()) as pipeline:
        streaming = time.monotonic()
        row_arrives(pipeline)
        return {"streaming_s": streaming - started, "verified_s": time.monotonic() - started}


def e2e() -> Figures:
    """The whole command as a shell sees it; a run that is not green is not measured."""
    return {"wall_s": _e2e_s()}


def containers() -> Iterator[Figures]:
    """Stack and e2e in containers beside local processes, in turns, and the size of the image (`make image` first)."""
    from contextlib import closing

    from test_infra.base.backend import Backend
    from test_infra.runtime.docker_engine import engine
    from test_infra.runtime.image import image_name
    from test_infra.stack import AttachedLease, StackSpec, down, up

    with closing(engine()) as client:
        image_mb = client.images.get(image_name()).attrs["Size"] / 1e6
    for _ in range(2):
        figures = {"image_mb": image_mb}
        for backend in Backend:
            lease, started = AttachedLease(), time.monotonic()
            running = up(StackSpec(backend=backend), lease=lease)
            figures[f"{backend}_usable_s"] = time.monotonic() - started
            down(running.id)
            lease.release()
            figures[f"{backend}_e2e_s"] = _e2e_s("--backend", backend)
        yield figures


def _e2e_s(*options: str) -> float:
    command = [sys.executable, "-c", "from test_infra.cli import main; main()", "run", "e2e", *options]
    started = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT)
    took_s = time.monotonic() - started
    if ended.returncode:
        raise SystemExit(f"e2e ended with {ended.returncode}, so its time says nothing")
    return took_s


def lag() -> Iterator[Figures]:
    """Lag of single-row transactions at steady 20, 200 and 1,000 changes/s, one after the other, three times."""
    from pipeline import running, shop
    from workload import lag_at

    with running(shop()) as pipeline:
        lag_at(pipeline, rate_per_s=200, warm_up_s=10, measured_s=1)
        for _ in range(3):
            yield _at_rates(pipeline, (20, 200, 1_000))


def lag_large() -> Iterator[Figures]:
    """The same at 200 and 1,000 changes/s beside a million rows in the mirror."""
    from pipeline import running, shop
    from workload import fill_mirror, lag_at

    with running(shop()) as pipeline:
        fill_mirror(pipeline, rows=1_000_000)
        lag_at(pipeline, rate_per_s=200, warm_up_s=10, measured_s=1)
        for _ in range(2):
            yield _at_rates(pipeline, (200, 1_000))


def _at_rates(pipeline: RunningPipeline, rates_per_s: tuple[int, ...]) -> Figures:
    from workload import lag_at

    return {
        f"at_{rate}_{figure}": value
        for rate in rates_per_s
        for figure, value in lag_at(pipeline, rate_per_s=rate, warm_up_s=3, measured_s=15).items()
    }


def sustained() -> Iterator[Figures]:
    """Transactions of 100 changes at a steady 15,000 changes/s from PostgreSQL to the mirror, for 30 s."""
    from pipeline import running, shop
    from workload import sustained as sustained_at

    with running(shop()) as pipeline:
        sustained_at(pipeline, rate_per_s=2_000, measured_s=9)
        for _ in range(2):
            yield sustained_at(pipeline, rate_per_s=15_000, measured_s=30)


def recovery() -> Iterator[Figures]:
    """Kill -9 of each part under 100 changes/s, until every later change was in the mirror within a second."""
    from pipeline import running, shop
    from recovery import recovered

    with running(shop()) as pipeline:
        for _ in range(2):
            yield {f"{part}_s": recovered(pipeline, part) for part in ("stream", "connect", "kafka", "postgres")}


def drain() -> Figures:
    """A million changes that wait in Kafka, until they are in change log and mirror."""
    from pipeline import running, shop
    from workload import drained

    with running(shop()) as pipeline:
        return drained(pipeline, changes=1_000_000)


def parity() -> Iterator[Figures]:
    """One cut of a million rows of ten types, beside reladiff 0.6 on the eight columns that it can do, in turns."""
    from parity import rounds, spec
    from pipeline import running

    with running(spec()) as pipeline:
        yield from rounds(pipeline)


def many_tables() -> Figures:
    """A pipeline of 136 tables: its start, the driver's threads and memory, one change in each, the gates."""
    from many_tables import figures

    return figures()


def submit() -> Figures:
    """A Python program from its submission until its session has answered a query: gateway, then plain spark-submit."""
    from jobs import beside_spark_submit

    return beside_spark_submit()


def list_jobs() -> Figures:
    """List 200 Spark jobs, five of them with a driver."""
    from jobs import listed

    return listed()


MEASUREMENTS: dict[str, tuple[Callable[[], Figures | Iterator[Figures]], int, tuple[Target, ...]]] = {
    "definitions": (definitions, 5, (Target("load_s", 3),)),
    "stack": (stack, 5, (Target("usable_s", 5),)),
    "first_row": (first_row, 3, (Target("verified_s", 10),)),
    "e2e": (e2e, 2, (Target("wall_s", 45),)),
    "containers": (containers, 1, ()),
    "lag": (
        lag,
        1,
        tuple(
            target
            for rate in (20, 200, 1_000)
            for target in (
                Target(f"at_{rate}_changes_p50_s", 0.15),
                Target(f"at_{rate}_changes_p95_s", 0.35),
                Target(f"at_{rate}_mirror_p95_s", 0.5),
            )
        ),
    ),
    "lag_large": (lag_large, 1, tuple(Target(f"at_{rate}_mirror_p95_s", 0.5) for rate in (200, 1_000))),
    "sustained": (sustained, 1, (Target("changes_per_s", 14_900, at_least=True), Target("mirror_growth_s", 0.5))),
    "recovery": (
        recovery,
        1,
        tuple(Target(f"{part}_s", 30) for part in ("stream", "connect", "kafka", "postgres")),
    ),
    "parity": (
        parity,
        1,
        tuple(
            target
            for when in ("quiet", "loaded")
            for target in (
                Target(f"{when}_ours_rows_per_s", 1_000_000, at_least=True),
                Target(f"{when}_ours_memory_mb", 300),
                Target(f"{when}_ours_false_rows", 0),
                Target(f"{when}_times_reladiff", 3, at_least=True),
            )
        ),
    ),
    "many_tables": (
        many_tables,
        1,
        (Target("driver_threads", 150), Target("change_in_each_mirror_max_s", 5), Target("parity_idle_s", 10)),
    ),
    "submit": (submit, 5, (Target("overhead_s", 0.5),)),
    "list_jobs": (list_jobs, 3, (Target("python_ms", 50), Target("http_ms", 50))),
    "drain": (drain, 2, (Target("after_first_batch_changes_per_s", 40_000, at_least=True),)),
}


def wanted(arguments: list[str]) -> list[str]:
    """Names of measurements from the command line; all that this machine can make when none is named."""
    described = "\n".join(f"  {name:12} {measure.__doc__}" for name, (measure, *_) in MEASUREMENTS.items())
    parser = argparse.ArgumentParser(
        description="Measures on this machine, which should have nothing else to do, and writes bench/results.",
        epilog=f"measurements:\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is named")
    names: list[str] = parser.parse_args(arguments).names
    if unknown := set(names) - set(MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; known: {', '.join(MEASUREMENTS)}")
    return names or [name for name in MEASUREMENTS if name != "containers" or _has_image()]


def main(names: list[str]) -> None:
    """Make the measurements one after the other."""
    from test_infra.cli.jars import bring_jars
    from test_infra.cli.progress import Progress

    bring_jars(Progress())
    for name in names:
        measure, runs, targets = MEASUREMENTS[name]
        measurement = Measurement(name, (measure.__doc__ or "").strip(), targets)
        for figures, before in each_run(measure, runs):
            measurement.add(before, figures)
            print(f"{name}: " + ", ".join(f"{figure} {value:,.3f}" for figure, value in figures.items()), flush=True)
        for target in targets:
            verdict = "met" if target.met(measurement.median(target.figure)) else "NOT met"
            print(f"{name}: {target.figure} median {measurement.median(target.figure):,.3f}, {target}: {verdict}")
        print(f"{name}: {measurement.write().relative_to(ROOT)}", flush=True)


def _has_image() -> bool:
    from test_infra.base.errors import TestInfraError
    from test_infra.runtime.docker_engine import has_image
    from test_infra.runtime.image import image_name

    try:
        return has_image(image_name())
    except TestInfraError:
        return False


def each_run(measure: Callable[[], Figures | Iterator[Figures]], runs: int) -> Iterator[tuple[Figures, Figures]]:
    """Figures and the machine before, run by run; each run has a state folder and a stack of its own, rounds share."""
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="test_infra_bench_") as home:
            os.environ.update(TEST_INFRA_HOME=home, TEST_INFRA_STACK=f"bench-{number}")
            before, measured = machine(), measure()
            if isinstance(measured, dict):
                yield measured, before
                continue
            for figures in measured:
                yield figures, before
                before = machine()


if __name__ == "__main__":
    main(wanted(sys.argv[1:]))
