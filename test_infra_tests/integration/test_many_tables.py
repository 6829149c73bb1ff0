"""A pipeline of a hundred tables, most of them empty or idle, and some that nobody may write into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from test_infra.cdc.judge import lag, offsets, parity
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.pipeline.spec import LagThresholds, PipelineSpec
from test_infra_tests.running import Running, running

EMPTY = [f"empty_{number}" for number in range(60)]
LIVE = [f"live_{number}" for number in range(36)]
GUARDED = ["identity_key", "guarded_rows", "large_rows", "read_only"]
"""Tables that a statement of a judge could not write into: each refuses an UPDATE or has no row that is small."""
TABLES = [*EMPTY, *LIVE, *GUARDED]
MOST_THREADS = 150
PATIENT = {"changes_p95_s": 60, "mirror_p95_s": 60}
"""How late changes are is measured by bench/many_tables.py: here other tests keep the machine busy."""

DDL = f"""
{"".join(f"CREATE TABLE {name} (id bigint PRIMARY KEY, v text);" for name in [*EMPTY, *LIVE])}
{"".join(f"INSERT INTO {name} SELECT i, 'v' FROM generate_series(1, 5) i;" for name in LIVE)}
CREATE TABLE identity_key (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
INSERT INTO identity_key (v) VALUES ('a'), ('b');
CREATE TABLE guarded_rows (id bigint PRIMARY KEY, v text);
INSERT INTO guarded_rows VALUES (1, 'a');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'nobody writes here'; END $$;
CREATE TRIGGER refused BEFORE INSERT OR UPDATE OR DELETE ON guarded_rows FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE large_rows (id bigint PRIMARY KEY, v text);
ALTER TABLE large_rows ALTER v SET STORAGE EXTERNAL;
INSERT INTO large_rows VALUES (1, repeat('x', 5000));
CREATE TABLE read_only (id bigint PRIMARY KEY, touched timestamptz);
INSERT INTO read_only VALUES (1, NULL);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := now(); RETURN NEW; END $$;
CREATE TRIGGER stamped BEFORE UPDATE ON read_only FOR EACH ROW EXECUTE FUNCTION stamp();
"""


@pytest.fixture(scope="module")
def many(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    ddl = tmp_path_factory.mktemp("many") / "many.sql"
    ddl.write_text(DDL)
    spec = PipelineSpec.model_validate(
        {"name": "many", "tables": TABLES, "source": {"ddl": ddl}, "load": None, "lag": PATIENT}
    )
    with running(Running, spec, "many") as pipeline:
        yield pipeline


def test_idle_and_empty_tables_are_green_and_nobody_writes_into_them(many: Running) -> None:
    written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE relname = ANY(%s)"
    untouched = [*EMPTY, *GUARDED]
    before = many.sql(written, untouched)
    compared = parity.check(many.pipeline).tables
    assert {table: found.counts for table, found in compared.items() if not found.green} == {}
    assert [table for table, found in compared.items() if found.empty] == EMPTY
    accounts = offsets.check(many.pipeline)
    assert {table: account.verdicts for table, account in accounts.items() if not account.green} == {}
    measured = lag.check(many.pipeline)
    thresholds = many.spec.lag
    assert {table: report for table, report in measured.items() if report.verdicts(thresholds)} == {}
    for table in untouched:
        assert measured[table].idle
        assert measured[table].heartbeat is not None
        assert measured[table].heartbeat.count == lag.BEATS
        assert measured[table].verdicts(LagThresholds(idle="red")) == (Verdict.UNKNOWN,)
    assert many.sql(written, untouched) == before


@pytest.mark.ci(reason="the merges of many tables side by side; unit/cdc/stream/test_merge_workers.py has the rule")
def test_one_change_in_each_table_is_visible_in_time(many: Running) -> None:
    for table in LIVE:
        many.sql(f"UPDATE {table} SET v = 'again' WHERE id = 1")
    measured = lag.check(many.pipeline)
    late = {table: measured[table].exceeded(many.spec.lag) for table in LIVE}
    assert late == {table: {} for table in LIVE}
    assert all(measured[table].count for table in LIVE)


def test_threads_of_the_driver_do_not_grow_with_the_tables(many: Running) -> None:
    drivers = [process for process in psutil.process_iter() if _is_driver_of(process, many)]
    driver = max(drivers, key=lambda process: process.num_threads())
    assert driver.num_threads() < MOST_THREADS


@pytest.mark.ci(reason="unit/cdc/judge/test_empty_pipeline.py has the rule, and this waits for time-outs")
def test_empty_tables_are_red_when_the_pipeline_does_not_move(many: Running) -> None:
    assert "heart-beat visible" in parity.check(many.pipeline, EMPTY[:2]).tables[EMPTY[0]].moved
    many.stream.stop()
    try:
        (found,) = parity.check(many.pipeline, EMPTY[:1], timeout_s=15).tables.values()
        (account,) = offsets.check(many.pipeline, EMPTY[:1], timeout_s=15).values()
    finally:
        many.start_stream()
    assert (found.counts, account.verdicts) == ({Verdict.LAG: 1}, {Verdict.LAG: 1})
    assert "heart-beat did not arrive" in found.reason


def _is_driver_of(process: psutil.Process, many: Running) -> bool:
    """Whether it is the Python of the stream's driver."""
    try:
        line = " ".join(process.cmdline())
        of_stream = "test_infra.cdc.stream.application" in line and str(many.stack.dir) in line
        return process.name().startswith("python") and of_stream
    except psutil.Error:
        return False
