"""Folders of runs as their steps leave them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from test_infra.verdict import evidence, run
from test_infra.verdict.evidence import Evidence, Outcome
from test_infra.verdict.measures import Histogram, Series
from test_infra.verdict.run import PipelineRecord, RunRecord, ServiceRecord, StepRecord

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
HOPS = ("commit_to_kafka", "commit_to_changes", "commit_to_mirror")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def found(gate: str, asset: str, from_s: float = 20, to_s: float = 21, **more: Any) -> Evidence:
    given = {"outcome": Outcome.PASSED, "summary": "as it should be", "promise": "It holds.\n\nRed: look at the log."}
    return Evidence(gate=gate, asset=asset, started_at=at(from_s), ended_at=at(to_s), **given | more)


def parity(table: str = "orders", **more: Any) -> Evidence:
    return found("parity", f"shop/mirror/{table}", numbers={"source_rows": 2_000, "mirror_rows": 2_000}, **more)


def lag(table: str = "orders", **more: Any) -> Evidence:
    numbers = {f"{hop}_{name}_s": 0.2 for hop in HOPS for name in ("p50", "p95", "p99", "max")}
    series = Series(
        name="lag",
        starts_at=at(5),
        bucket_s=0.5,
        values={f"{hop}_p95_s": (0.1, 0.2, None, 0.3) for hop in HOPS},
    )
    given = {
        "numbers": {"changes_measured": 60, **numbers},
        "details": {"threshold mirror_p95_s": "5"},
        "histograms": tuple(Histogram(name=hop, edges_s=(0, 0.01, 0.1, 1), counts=(10, 30, 20)) for hop in HOPS),
        "series": (series,),
    }
    return found("lag", f"shop/mirror/{table}", **given | more)


def differing(source: str, mirror: str, column: str = "note", key: str = "id=7") -> dict[str, str]:
    return {
        "verdict": "VALUE",
        "key": key,
        "column": column,
        "source": source,
        "mirror": mirror,
        "compared": "source with mirror",
    }


def of_run(folder: Path, *items: Evidence, steps: tuple[StepRecord, ...] = (), **more: Any) -> Path:
    """The folder of a run with services, a pipeline and the given evidence."""
    expected = tuple(item.gate_id for item in items)
    given = {"run_id": "r1", "job": "e2e", "stack_id": "s1", "versions": {"test-infra": "1.2.3"}, "expected": expected}
    run.begin(folder, RunRecord(started_at=NOW, finished_at=at(40), **given | more))
    for item in items:
        evidence.write(folder, item)
    for step in steps or (a_step("shop__load", 6, 12),):
        run.write_step(folder, step)
    run.write_services(
        folder,
        [
            ServiceRecord(
                name="kafka", version="4.3.1", url="127.0.0.1:9", start_s=2, usable_at=at(3), log="/logs/kafka"
            )
        ],
    )
    ended = {"ok": (900, 800), "failed": (9, 8), "unknown": (0, 0)}
    pipeline = PipelineRecord(
        name="shop",
        tables=("orders",),
        seed=20_261_121,
        operations=1_700,
        rows_before=500,
        outcomes={"ok": 1_700, "failed": 17, "unknown": 0},
        load=Series(name="load", starts_at=at(6), bucket_s=1, values=ended),
        files={"log of the stream": "/logs/driver.log"},
    )
    run.write_pipelines(folder, [pipeline])
    return folder


def a_step(name: str, from_s: float, to_s: float, exit_code: int | None = None, error: str = "") -> StepRecord:
    return StepRecord(
        step=name, assets=("shop/x",), started_at=at(from_s), ended_at=at(to_s), exit_code=exit_code, error=error
    )
