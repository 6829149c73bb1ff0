"""The load against a real PostgreSQL: what it writes down is what happened, whatever is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.judge import witness
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.load import control, history
from test_infra.cdc.load.control import LoadFailed
from test_infra.cdc.load.history import Key, Kind, Operation, OperationOutcome, written
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import ColumnValues, LoadSpec, PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import connect
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

CONSTRAINTS = PipelineSpec(
    name="constraints",
    tables=[
        "tenants", "projects", "tasks", "project_settings", "currencies", "prices", "employees", "left_side",
        "right_side", "only_key", "weekdays", "grades", "measures", "parted", "addresses", "bookings",
    ],
    source=SourceSpec(ddl=Path(__file__).with_name("constraints.sql")),
    load=LoadSpec(
        operations=4_000,
        rows_before=40,
        background_rate_per_s=0,
        values={"bookings": {"during": ColumnValues(sql="int4range(:n, :n + 1)")}},
    ),
)  # fmt: skip
SHOP = Path(__file__).parents[2] / "test_infra" / "defs" / "shop" / "shop.sql"
SPEC = PipelineSpec(
    name="shop",
    tables=["customers", "orders", "order_items"],
    source=SourceSpec(ddl=SHOP),
    load=LoadSpec(operations=2_000, rows_before=50, background_rate_per_s=100),
)


def shop(stack: Stack) -> RunningPipeline:
    return RunningPipeline(stack, SPEC)


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    lease = AttachedLease()
    yield up(StackSpec(services=Services(kafka=None, connect=None)), lease=lease, stack_id="testload")
    lease.release()
    down("testload")


@pytest.fixture
def owner(stack: Stack) -> Iterator[psycopg.Connection]:
    """The owner of a freshly seeded shop; no load runs before or after."""
    with connect(stack.endpoint("postgres"), "owner") as connection:
        connection.execute("DROP TABLE IF EXISTS customers, orders, order_items")
        shop(stack).folders.history.unlink(missing_ok=True)
        prepare(shop(stack))
        yield connection
    control.stop(shop(stack))


def operations(stack: Stack) -> list[Operation]:
    return list(history.read(shop(stack).folders.history))


def contradictions(owner: psycopg.Connection, done: list[Operation]) -> list[object]:
    """Where tables or transaction states differ from what was written down."""
    found: list[object] = []
    for table, key in (("customers", "id"), ("orders", "id"), ("order_items", "order_id, line_no")):
        there: set[Key] = {tuple(map(written, row)) for row in owner.execute(f"SELECT {key} FROM {table}").fetchall()}
        last: dict[Key, Operation] = {}
        either: set[Key] = set()
        for operation in done:
            if operation.table == table and operation.outcome is OperationOutcome.OK:
                last[operation.key] = operation
            if operation.table == table and operation.outcome is OperationOutcome.UNKNOWN:
                either.add(operation.key)
        expected = {name for name, operation in last.items() if operation.kind is not Kind.DELETE}
        found += [(table, name) for name in (there ^ expected) - either]
    ok = {operation.tx_id for operation in done if operation.outcome is OperationOutcome.OK}
    not_ok = {operation.tx_id for operation in done if operation.outcome is OperationOutcome.FAILED} - ok
    query = "SELECT id FROM unnest(%s::text[]) AS id WHERE pg_xact_status(id::xid8) IS DISTINCT FROM %s"
    found += owner.execute(query, [[str(tx) for tx in ok], "committed"]).fetchall()
    # A transaction of which nothing but undone operations is left commits too.
    undone_only = owner.execute(query, [[str(tx) for tx in not_ok if tx is not None], "aborted"]).fetchall()
    return found if len(undone_only) < max(5, 0.3 * len(not_ok)) else [*found, *undone_only]


def test_history_says_what_the_tables_hold(stack: Stack, owner: psycopg.Connection) -> None:
    control.start(shop(stack))
    bulk = control.wait_bulk(shop(stack), Deadline(60))
    assert bulk.operations_done >= 2_000
    ended = control.stop(shop(stack))
    done = operations(stack)
    assert contradictions(owner, done) == []
    loaded = done[150:]
    # A changed key is one operation, and told as a delete and an insert.
    moved = len(loaded) - ended.operations_done
    assert 0 <= moved < 0.05 * len(loaded)
    told = Counter(operation.outcome for operation in loaded)
    assert told[OperationOutcome.OK] + told[OperationOutcome.FAILED] - moved == ended.ok + ended.failed
    assert (ended.unknown, ended.refused) == (0, 0)
    # Rolled back on purpose, and nothing else: a real error would fail whole transactions more.
    assert 0.02 < ended.failed / ended.operations_done < 0.25
    assert ended.ended_at is not None
    assert ended.error == ""


def test_background_goes_on_until_it_is_stopped(stack: Stack, owner: psycopg.Connection) -> None:
    control.start(shop(stack), operations=10)
    bulk = control.wait_bulk(shop(stack), Deadline(60))

    def more() -> None:
        if control.status(shop(stack)).operations_done < bulk.operations_done + 100:
            raise StillWaiting(str(control.status(shop(stack))))

    wait_for(more, Deadline(20), what="load", awaited="100 more operations")
    ended = control.stop(shop(stack))
    assert contradictions(owner, operations(stack)) == []
    assert control.stop(shop(stack)) == ended


@pytest.mark.ci(reason="its numbers go on; unit/cdc/load has the rule")
def test_second_load_does_not_collide_with_the_first(stack: Stack, owner: psycopg.Connection) -> None:
    shares = []
    for _ in range(2):
        control.start(shop(stack), rate_per_s=0)
        control.wait_bulk(shop(stack), Deadline(60))
        ended = control.stop(shop(stack))
        shares.append(ended.failed / ended.operations_done)
    assert max(shares) < 0.25
    assert contradictions(owner, operations(stack)) == []


def test_killed_load_leaves_a_history_and_the_next_one_goes_on(stack: Stack, owner: psycopg.Connection) -> None:
    control.start(shop(stack), operations=500_000)

    def busy() -> int:
        if control.status(shop(stack)).operations_done < 500:
            raise StillWaiting("it has not begun")
        pid = stack.runtime.observe("load-shop").pid
        assert pid is not None
        return pid

    os.kill(wait_for(busy, Deadline(30), what="load", awaited="500 operations"), signal.SIGKILL)
    with pytest.raises(LoadFailed, match="the load of shop ended after"):
        control.wait_bulk(shop(stack), Deadline(20))
    before = operations(stack)
    assert len(before) > 500
    control.start(shop(stack), operations=1_000, rate_per_s=0)
    done = control.wait_bulk(shop(stack), Deadline(60))
    assert done.failed / done.operations_done < 0.25
    assert [operation.number for operation in operations(stack)] == list(range(len(operations(stack))))


def test_lost_connections_are_unknown_and_the_load_goes_on(stack: Stack, owner: psycopg.Connection) -> None:
    control.start(shop(stack), operations=20_000, rate_per_s=0)
    terminate = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'test_infra' AND pid <> pg_backend_pid()
            AND usename = current_user AND state <> 'idle'"""

    terminated_at = 0

    def terminated_and_done() -> None:
        nonlocal terminated_at
        status = control.status(shop(stack))
        # Until one is seen to be unknown, and never twice at one place: a load that always loses its sessions stands.
        if status.unknown == 0 and status.operations_done != terminated_at:
            terminated_at = status.operations_done
            owner.execute(terminate)
        if status.bulk_done_at is None:
            raise StillWaiting(f"{status.operations_done} operations done")

    wait_for(terminated_and_done, Deadline(150), what="load", awaited="its end", interval_s=0.02)
    ended = control.stop(shop(stack))
    assert ended.unknown > 0
    assert ended.error == ""
    done = operations(stack)
    assert contradictions(owner, done) == []
    assert sum(operation.outcome is OperationOutcome.UNKNOWN for operation in done) >= ended.unknown


def test_pipeline_without_load_is_refused(stack: Stack, owner: psycopg.Connection) -> None:
    with pytest.raises(UsageError, match="pipeline shop has no load"):
        control.start(RunningPipeline(stack, SPEC.model_copy(update={"load": None})))


def expected_keys(done: list[Operation], table: str) -> set[Key]:
    last = {one.key: one for one in done if one.table == table and one.outcome is OperationOutcome.OK}
    return {key for key, one in last.items() if one.kind is not Kind.DELETE}


def test_load_holds_to_the_constraints_of_real_tables_and_writes_their_cascades_down(stack: Stack) -> None:
    pipeline = RunningPipeline(stack, CONSTRAINTS)
    schemas = prepare(pipeline)
    for _ in range(2):
        control.start(pipeline)
        ended = control.wait_bulk(pipeline, Deadline(60))
        control.stop(pipeline)
        assert (ended.refused, ended.refusals, ended.error) == (0, {}, "")
    done = list(history.read(pipeline.folders.history))
    with connect(stack.endpoint("postgres"), "owner") as connection:
        for schema in schemas:
            query = f"SELECT {', '.join(schema.key_names)} FROM {schema.name}"
            there = {tuple(map(written, row)) for row in connection.execute(query.encode()).fetchall()}
            assert there == expected_keys(done, schema.name), schema.name
            kinds = {one.kind for one in done if one.table == schema.name and one.outcome is OperationOutcome.OK}
            assert kinds >= {Kind.INSERT, Kind.DELETE}
    by_cascade = [
        one for one, before in zip(done[1:], done, strict=False)
        if one.kind is Kind.DELETE and (one.tx_id, one.table) == (before.tx_id, "tasks") and before.table == "projects"
    ]  # fmt: skip
    assert by_cascade


def test_what_the_source_refuses_is_told_with_the_constraint_and_its_own_words(
    stack: Stack, owner: psycopg.Connection
) -> None:
    owner.execute(
        "DROP TABLE IF EXISTS odd; CREATE TABLE odd (id int PRIMARY KEY, CONSTRAINT never CHECK (hashint4(id) = 0))"
    )
    spec = PipelineSpec(
        name="odd", tables=["odd"], load=LoadSpec(operations=50, rows_before=5, background_rate_per_s=0)
    )
    pipeline = RunningPipeline(stack, spec)
    with pytest.raises(InfrastructureError, match=r"the first rows of public\.odd were refused") as refused:
        prepare(pipeline)
    assert 'never: new row for relation "odd" violates check constraint "never"' in refused.value.details["seen"]
    assert refused.value.details["seen"].endswith("(23514)")
    later = RunningPipeline(
        stack, spec.model_copy(update={"load": LoadSpec(operations=50, rows_before=0, background_rate_per_s=0)})
    )
    prepare(later)
    control.start(later)
    ended = control.wait_bulk(later, Deadline(60))
    control.stop(later)
    assert (ended.ok, ended.refusals["public.odd"][0].words.startswith("never: ")) == (0, True)
    told = witness.testify("odd", history.read(later.folders.history), {}, time.time(), 0.5, witness.NOT_ASKED)
    assert told.counts == {Verdict.UNKNOWN: 1}
    assert "never: new row" in told.reason


def own_traffic(stack: Stack, name: str, **load: object) -> RunningPipeline:
    spec = PipelineSpec(name=name, tables=["noted"], load=LoadSpec.model_validate(load))
    return RunningPipeline(stack, spec)


@pytest.mark.ci(reason="one more kind of traffic; a program is the other")
def test_sql_files_are_the_traffic_as_often_as_asked_for(
    stack: Stack, owner: psycopg.Connection, tmp_path: Path
) -> None:
    owner.execute("DROP TABLE IF EXISTS noted; CREATE TABLE noted (id serial PRIMARY KEY, note text)")
    (tmp_path / "traffic.sql").write_text("INSERT INTO noted (note) VALUES ('a'), ('b');")
    pipeline = own_traffic(stack, "bysql", sql=[tmp_path / "traffic.sql"], repeat=3)
    prepare(pipeline)
    control.start(pipeline)
    assert control.wait_bulk(pipeline, Deadline(60)).runs == 3
    assert owner.execute("SELECT count(*) FROM noted").fetchone() == (6,)
    control.stop(pipeline)
    (tmp_path / "traffic.sql").write_text("INSERT INTO noted (note) VALUES ('a');\nINSERT INTO nowhere VALUES (1);")
    control.start(pipeline)
    with pytest.raises(LoadFailed, match="the load of bysql ended after 0 runs") as failed:
        control.wait_bulk(pipeline, Deadline(60))
    assert 'relation "nowhere" does not exist' in failed.value.details["error"]
    assert owner.execute("SELECT count(*) FROM noted").fetchone() == (6,)


PROGRAM = """
import json, os, psycopg, time
with psycopg.connect() as connection, open(os.environ["TEST_INFRA_HISTORY"], "a") as history:
    started = time.time()
    insert = "INSERT INTO noted (note) VALUES ('x') RETURNING id, pg_current_xact_id()::text"
    (row,) = connection.execute(insert).fetchall()
    connection.commit()
    line = {"table": "noted", "key": {"id": row[0]}, "kind": "insert", "outcome": "ok", "tx_id": int(row[1])}
    history.write(json.dumps({**line, "started": started, "done": time.time()}) + "\\n")
"""


def test_program_is_the_traffic_and_writes_a_history_that_the_witness_reads(
    stack: Stack, owner: psycopg.Connection
) -> None:
    owner.execute("DROP TABLE IF EXISTS noted; CREATE TABLE noted (id serial PRIMARY KEY, note text)")
    pipeline = own_traffic(stack, "byprogram", command=[sys.executable, "-c", PROGRAM], repeat=2, history=True)
    prepare(pipeline)
    control.start(pipeline)
    assert control.wait_bulk(pipeline, Deadline(60)).runs == 2
    done = list(history.read(pipeline.folders.history, {"noted": ["id"]}))
    mirror = {
        (key,): witness.Seen(tx_id)
        for key, tx_id in owner.execute("SELECT id, xmin::text::bigint FROM noted").fetchall()
    }
    found = witness.testify("noted", done, mirror, time.time(), 0.5, witness.NOT_ASKED)
    assert (found.green, found.keys) == (True, 2)


def test_what_a_trigger_or_a_rule_does_instead_is_written_down_as_touched(
    stack: Stack, owner: psycopg.Connection
) -> None:
    owner.execute(
        """DROP TABLE IF EXISTS kept, moved, soft;
        CREATE TABLE kept (id int PRIMARY KEY, gone boolean NOT NULL DEFAULT false, updated_at timestamptz);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
        CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN UPDATE kept SET gone = true WHERE id = OLD.id; RETURN NULL; END $$;
        CREATE TRIGGER keep BEFORE DELETE ON kept FOR EACH ROW EXECUTE FUNCTION keep();
        CREATE TABLE moved (id int PRIMARY KEY, note text);
        CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.id := NEW.id + 1000000; RETURN NEW; END $$;
        CREATE TRIGGER move BEFORE INSERT ON moved FOR EACH ROW EXECUTE FUNCTION move();
        CREATE TABLE soft (id int PRIMARY KEY, gone boolean);
        CREATE RULE soft AS ON DELETE TO soft DO INSTEAD UPDATE soft SET gone = true WHERE id = OLD.id"""
    )
    load = LoadSpec(operations=600, rows_before=20, background_rate_per_s=0)
    pipeline = RunningPipeline(stack, PipelineSpec(name="touched", tables=["kept", "moved", "soft"], load=load))
    prepare(pipeline)
    control.start(pipeline)
    ended = control.wait_bulk(pipeline, Deadline(60))
    control.stop(pipeline)
    assert ended.refusals == {}
    done = list(history.read(pipeline.folders.history))
    for table in ("kept", "moved", "soft"):
        of_table = [one for one in done if one.table == table]
        assert table == "moved" or any(one.kind is Kind.TOUCHED for one in of_table)
        query = f"SELECT id, xmin::text::bigint FROM {table}"
        mirror = {(key,): witness.Seen(tx_id) for key, tx_id in owner.execute(query.encode()).fetchall()}
        found = witness.testify(table, of_table, mirror, time.time(), 0.0, witness.NOT_ASKED)
        assert found.counts.keys() <= {Verdict.UNKNOWN}, (table, found.faults)
        assert found.keys > 0
        assert table == "moved" or found.touched > 0
