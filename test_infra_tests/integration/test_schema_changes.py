"""DDL on a running pipeline: it is followed, exactly; and what cannot be followed is named, and nobody else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge.gate_judges import JUDGES
from test_infra.cdc.pipeline.spec import ColumnsSpec, PipelineSpec, SourceSpec, TableSpec
from test_infra.verdict.evidence import Finding
from test_infra_tests.integration.ddl_cases import (
    BUSY,
    FOLLOWED,
    HARMLESS,
    HEALED,
    LEFT_OUT,
    NOT_READ,
    TABLES,
    TOLD,
    UNDER_LOAD,
    tables_sql,
)
from test_infra_tests.running import START_TIMEOUT_S, Running, running

pytestmark = pytest.mark.ci(reason="DDL on a running pipeline, on a stack of its own")

Judged = Mapping[str, Finding]


@dataclass(frozen=True)
class Found:
    """Parity of tables: after DDL that changes nothing, after all the rest, and after what heals."""

    harmless: Judged
    changed: Judged
    healed: Judged
    under_load: list[Judged]
    restarted: Mapping[str, Judged]


@pytest.fixture(scope="module")
def found(test_home: Path) -> Iterator[Found]:
    ddl = test_home / "changed.sql"
    ddl.write_text(tables_sql())
    secret = ColumnsSpec(exclude=["secret"])
    tables = [TableSpec(table=table, columns=secret) if table in LEFT_OUT else table for table in TABLES]
    spec = PipelineSpec(name="changed", tables=tables, source=SourceSpec(ddl=ddl), load=None)
    with running(Running, spec, "testddl") as pipeline:
        for table, statement in HARMLESS.items():
            pipeline.sql(statement)
            pipeline.sql(f"INSERT INTO {table} SELECT 3, v FROM {table} WHERE id = 1")
            pipeline.sql(f"UPDATE {table} SET v = v WHERE id = 1")
        harmless = JUDGES["parity"](pipeline.pipeline, TABLES)
        with written(pipeline):
            under_load = changed_under_load(pipeline)
            restarted = changed_at_a_restart(pipeline)
        for statement in (one for statements in FOLLOWED.values() for one in statements):
            pipeline.sql(statement)
        for statement, _, _ in TOLD.values():
            pipeline.sql(statement)
        changed = JUDGES["parity"](pipeline.pipeline, [table for table in TABLES if table not in NOT_READ])
        beside = JUDGES["parity"](pipeline.pipeline, [*NOT_READ, *HARMLESS])
        for statement in HEALED.values():
            pipeline.sql(statement)
        healed = JUDGES["parity"](pipeline.pipeline, list(HEALED))
        yield Found(harmless, {**changed, **beside}, healed, under_load, restarted)


@contextmanager
def written(pipeline: Running) -> Iterator[None]:
    """Two tables are written all the time."""
    over = Event()

    def write() -> None:
        with pipeline.pipeline.source.session() as session:
            for number in count():
                if over.is_set():
                    return
                session.execute("INSERT INTO busy (id, v) VALUES (%s, %s)", [number, number])
                session.execute("UPDATE busy SET v = v + 1 WHERE id = %s", [number // 2])
                session.execute("DELETE FROM busy WHERE id = %s", [number // 3])
                session.execute("INSERT INTO busy_history (v) VALUES (%s), (%s)", [number % 5, number % 5])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            yield
        finally:
            over.set()
        writing.result()


def changed_under_load(pipeline: Running) -> list[Judged]:
    """Parity of the written tables after each change of their columns."""
    judged = []
    for statement in UNDER_LOAD:
        for table in BUSY:
            pipeline.sql(statement.format(table))
        judged.append(JUDGES["parity"](pipeline.pipeline, BUSY))
    return judged


def changed_at_a_restart(pipeline: Running) -> dict[str, Judged]:
    """Parity of the written tables whose columns change just before the driver ends, and before the next begins."""
    ends: dict[str, Callable[[], object]] = {"killed": pipeline.stream.kill, "stopped": pipeline.stream.stop}
    judged = {}
    for how, end in ends.items():
        for table in BUSY:
            pipeline.sql(f"ALTER TABLE {table} ADD COLUMN {how} text NOT NULL DEFAULT 'x'")
        end()
        for table in BUSY:
            pipeline.sql(f"ALTER TABLE {table} ADD COLUMN {how}_after int DEFAULT 7")
        pipeline.stream.submit_after_end(Deadline(60))
        pipeline.stream.wait_ready(Deadline(START_TIMEOUT_S))
        judged[how] = JUDGES["parity"](pipeline.pipeline, BUSY)
    return judged


def red(judged: Judged) -> dict[str, str]:
    return {table: finding.summary for table, finding in judged.items() if not finding.passed}


def test_ddl_that_changes_no_row_is_green(found: Found) -> None:
    assert red(found.harmless) == {}


@pytest.mark.parametrize("table", list(FOLLOWED))
def test_a_schema_change_is_followed(found: Found, table: str) -> None:
    assert red({table: found.changed[table]}) == {}


def test_schema_changes_are_followed_under_load(found: Found) -> None:
    assert [red(judged) for judged in found.under_load] == [{}] * len(UNDER_LOAD)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_schema_changes_around_the_end_of_the_driver_are_followed(found: Found, how: str) -> None:
    assert red(found.restarted[how]) == {}


@pytest.mark.parametrize("table", list(TOLD))
def test_what_cannot_be_followed_is_named(found: Found, table: str) -> None:
    finding = found.changed[table]
    _, verdicts, words = TOLD[table]
    assert set(finding.verdicts) == verdicts
    assert words in finding.summary
    assert "way on" in finding.details


@pytest.mark.parametrize("table", list(HEALED))
def test_an_update_brings_what_ddl_changed_without_an_event(found: Found, table: str) -> None:
    assert red({table: found.healed[table]}) == {}


def test_the_other_tables_are_judged(found: Found) -> None:
    assert red({table: found.changed[table] for table in HARMLESS}) == {}
