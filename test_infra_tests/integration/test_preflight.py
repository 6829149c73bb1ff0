"""What keeps tables of a real PostgreSQL from being captured exactly is found before anything starts, all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from test_infra.base.deadline import Deadline
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline import preflight
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.sources.postgres import connect, freeze
from test_infra.cdc.sources.postgres.slot_blockers import slot_blockers
from test_infra.cdc.sources.preflight import Severity, errors_of
from test_infra.cdc.types.table_id import CapturedTable, TableId
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

POLICY = "CREATE POLICY only_a ON t USING (tenant = 'a')"
TENANTS = (
    "CREATE TABLE t (id int PRIMARY KEY, tenant text);"
    "INSERT INTO t SELECT n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) n;"
)


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    lease = AttachedLease()
    yield up(StackSpec(services=Services(kafka=None, connect=None)), lease=lease, stack_id="testpreflight")
    lease.release()
    down("testpreflight")


@pytest.fixture
def owner(stack: Stack) -> Iterator[psycopg.Connection]:
    """The owner, in an empty schema public, without a publication."""
    with connect(stack.endpoint("postgres"), "owner") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for (name,) in connection.execute("SELECT pubname FROM pg_publication").fetchall():
            connection.execute(f"DROP PUBLICATION {name}".encode())
        yield connection


def pipeline(stack: Stack, *tables: str) -> RunningPipeline:
    return RunningPipeline(stack, PipelineSpec(name="shop", tables=list(tables), load=None))


def errors(stack: Stack, *tables: str) -> list[str]:
    found = preflight.findings(pipeline(stack, *tables).spec, stack.id, stack.endpoint("postgres"))
    return [finding.problem.what for finding in errors_of(found)]


def test_a_table_without_faults_has_notes_only(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    found = preflight.findings(pipeline(stack, "t").spec, stack.id, stack.endpoint("postgres"))
    assert [finding.severity for finding in found] == [Severity.NOTE]


def test_a_table_without_a_key_is_taken_with_a_warning_of_what_it_can_not_do_any_more(
    stack: Stack, owner: psycopg.Connection
) -> None:
    owner.execute("CREATE TABLE t (n int); CREATE UNIQUE INDEX takes_null ON t (n)")
    found = preflight.findings(pipeline(stack, "t").spec, stack.id, stack.endpoint("postgres"))
    assert errors_of(found) == []
    assert any("PostgreSQL refuses its updates and deletes" in finding.problem.what for finding in found)
    (schema,) = prepare(pipeline(stack, "t"))
    assert schema.key == ()
    owner.execute("INSERT INTO t VALUES (1), (NULL), (NULL); TRUNCATE t")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="does not have a replica identity"):
        owner.execute("DELETE FROM t")


def test_every_fault_is_told_at_once_and_nothing_is_made(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute(
        'CREATE TABLE a (id int PRIMARY KEY, "Total" int, total int);'
        "CREATE TABLE b (id int PRIMARY KEY); ALTER TABLE b REPLICA IDENTITY NOTHING;"
        "CREATE TABLE c (n int); ALTER TABLE c REPLICA IDENTITY FULL;"
        "CREATE TABLE d (id int PRIMARY KEY, x xml, y xml); ALTER TABLE d REPLICA IDENTITY NOTHING"
    )
    found = errors(stack, "a", "b", "c", "d", "gone")
    assert len(found) == 7
    for words in (
        "columns Total and total",
        "public.b has REPLICA IDENTITY NOTHING",
        "public.d has REPLICA IDENTITY NOTHING",
        "public.c has no primary key",
        "column x",
        "column y",
        "public.gone does not exist",
    ):
        assert any(words in line for line in found), words
    with pytest.raises(UsageError, match="refused for 7 reasons") as refused:
        prepare(pipeline(stack, "a", "b", "c", "d", "gone"))
    assert "REPLICA IDENTITY NOTHING" in str(refused.value)
    assert owner.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ('"Total" int, total int', "Total and total"),
        ('"Total" int GENERATED ALWAYS AS (id) STORED, total int', "total and Total"),
        ('"Größe" int, "GRÖSSE" int', "differ only by case"),
        ('"_LSN" bigint', "column _LSN, and _lsn"),
        ("_snapshot boolean", "column _snapshot"),
    ],
)
def test_columns_that_the_lake_cannot_tell_apart_are_named(
    stack: Stack, owner: psycopg.Connection, columns: str, words: str
) -> None:
    owner.execute(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    (found,) = errors(stack, "t")
    assert words in found


def test_a_column_that_is_only_included_in_the_key_is_no_part_of_it(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (v int, id int, PRIMARY KEY (id) INCLUDE (v))")
    (schema,) = prepare(pipeline(stack, "t"))
    assert schema.key_names == ("id",)


def test_an_identity_that_only_includes_the_key_is_refused(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute(
        "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL); CREATE UNIQUE INDEX i ON t (u) INCLUDE (id);"
        "ALTER TABLE t REPLICA IDENTITY USING INDEX i"
    )
    (found,) = errors(stack, "t")
    assert "REPLICA IDENTITY index without every column of the primary key" in found


@pytest.mark.parametrize(
    ("force", "roles"), [("", ["capture"]), ("ALTER TABLE t FORCE ROW LEVEL SECURITY", ["owner", "capture"])]
)
def test_rows_that_a_policy_hides_from_a_role_are_told(
    stack: Stack, owner: psycopg.Connection, force: str, roles: list[str]
) -> None:
    owner.execute(f"{TENANTS} {POLICY}; ALTER TABLE t ENABLE ROW LEVEL SECURITY; {force}")
    found = errors(stack, "t")
    assert [f"from role test_infra_{role}" in line for role, line in zip(roles, found, strict=True)] == [True] * len(
        roles
    )


def test_a_policy_that_is_switched_on_later_breaks_continuity_and_parity(
    stack: Stack, owner: psycopg.Connection
) -> None:
    owner.execute(f"{TENANTS} {POLICY}")
    running = pipeline(stack, "t")
    prepare(running)
    assert not running.source.breaks(lambda: None)
    owner.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    assert {found.part for found in running.source.breaks(lambda: None)} == {"row level security"}
    captured = [CapturedTable(TableId("public", "t", "t"))]
    with (
        freeze(stack.endpoint("postgres"), captured) as frozen,
        pytest.raises(InfrastructureError, match="row-level security"),
        frozen.rows(frozen.parts()[0], frozen.sessions[0]),
    ):
        pass


def test_a_prepared_transaction_is_named_before_a_slot_waits_for_it(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    owner.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'")
    try:
        (found,) = errors(stack, "t")
    finally:
        owner.execute("ROLLBACK PREPARED 'left behind'")
    assert "prepared transaction 'left behind' of role test_infra_owner" in found


def test_an_open_transaction_that_has_written_is_known_by_its_process(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with connect(stack.endpoint("postgres"), "owner") as writer, writer.transaction():
        writer.execute("INSERT INTO t VALUES (1)")
        found = [str(blocker) for blocker in slot_blockers(owner)]
        assert any(f"process {writer.info.backend_pid} of role test_infra_owner" in line for line in found)
    assert not [line for line in map(str, slot_blockers(owner)) if str(writer.info.backend_pid) in line]


def test_a_failed_connector_ends_the_wait_for_its_slot_at_once(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")

    def failed() -> None:
        raise InfrastructureError("task 0 is FAILED")

    deadline = Deadline(600)
    with pytest.raises(InfrastructureError, match="task 0 is FAILED"):
        pipeline(stack, "t").source.wait_capturing(deadline, failed)


def test_slot_and_publication_are_taken_out_and_the_tables_stay(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    running = pipeline(stack, "t")
    prepare(running)
    with connect(stack.endpoint("postgres"), "capture") as capture:
        capture.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [running.names.replication])
    for _ in range(2):
        running.source.remove_capture()
        kept = owner.execute(
            "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication), "
            "(SELECT count(*) FROM t)"
        )
        assert kept.fetchone() == (0, 0, 1)
