"""A pipeline of 136 tables of which a few have traffic: what each table costs beside its rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pipeline import running
from psycopg.sql import SQL, Identifier

from test_infra.cdc.judge import lag, parity
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec

TABLES = [f"table_{number}" for number in range(136)]
DDL = """DO $$ BEGIN
    FOR number IN 0..135 LOOP
        EXECUTE format('CREATE TABLE table_%s (id bigint PRIMARY KEY, v text)', number);
        EXECUTE format('INSERT INTO table_%s SELECT i, $v$v$v$ FROM generate_series(1, 20) i', number);
    END LOOP;
END $$"""
APPLICATION = "test_infra.cdc.stream.application"


def figures() -> dict[str, float]:
    """Start of the pipeline, its driver, one change in each table, and the gates that look at every table."""
    started = time.monotonic()
    with _many() as pipeline:
        streaming = time.monotonic()
        parity.check(pipeline)
        driver = _driver(pipeline)
        found = {"streaming_s": streaming - started, "driver_threads": driver.num_threads()}
        began = time.monotonic()
        _green(parity.check(pipeline).green)
        found["parity_idle_s"] = time.monotonic() - began
        began = time.monotonic()
        reports = lag.check(pipeline)
        _green(not any(report.verdicts(pipeline.spec.lag) for report in reports.values()))
        found["lag_idle_s"] = time.monotonic() - began
        with pipeline.source.session() as session:
            for table in TABLES:
                session.execute(SQL("UPDATE {} SET v = 'again' WHERE id = 1").format(Identifier(table)))
        measured = lag.check(pipeline).values()
        found["change_in_each_mirror_max_s"] = max(report.hops["commit_to_mirror"].max_s for report in measured)
        return {**found, "driver_mib": driver.memory_info().rss / 2**20}


@contextmanager
def _many() -> Iterator[RunningPipeline]:
    with tempfile.TemporaryDirectory() as folder:
        ddl = Path(folder) / "many.sql"
        ddl.write_text(DDL)
        with running(PipelineSpec(name="many", tables=TABLES, source=SourceSpec(ddl=ddl), load=None)) as pipeline:
            yield pipeline


def _driver(pipeline: RunningPipeline) -> psutil.Process:
    """The Python of the stream's driver."""
    of_stream = [
        process
        for process in psutil.process_iter(["cmdline", "name"])
        if APPLICATION in (line := " ".join(process.info["cmdline"] or ()))
        and str(pipeline.stack.dir) in line
        and process.info["name"].startswith("python")
    ]
    return max(of_stream, key=lambda process: process.num_threads())


def _green(seen: bool) -> None:
    if not seen:
        raise SystemExit("the pipeline is not green, so there is nothing to tell")
