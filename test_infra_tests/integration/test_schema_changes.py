"""DDL on a running pipeline: it is followed, exactly; and what cannot be followed is named, and nobody else is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from test_infra.cdc.judge.gate_judges import JUDGES
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.verdict.evidence import Finding
from test_infra_tests.running import Running, running

pytestmark = pytest.mark.ci(reason="DDL on a running pipeline, on a stack of its own")

HARMLESS = {
    "not_null": "ALTER TABLE not_null ALTER v SET NOT NULL",
    "label_added": "ALTER TYPE mood ADD VALUE 'z'",
    "checked": "ALTER DOMAIN small ADD CHECK (value < 1000)",
    "vacuumed": "VACUUM FULL vacuumed",
    "clustered": "CLUSTER clustered USING clustered_pkey",
    "reindexed": "REINDEX TABLE reindexed",
    "identified": "ALTER TABLE identified REPLICA IDENTITY FULL",
}
DEFAULTS = (
    "ADD COLUMN n int DEFAULT 7, ADD t text NOT NULL DEFAULT 'it''s \"so\"', ADD a int[] DEFAULT '{1,NULL,3}', "
    "ADD at timestamptz DEFAULT '2026-01-01 00:00+01', ADD d numeric(12,2) DEFAULT 1.5, ADD z real DEFAULT '-0', "
    "ADD j jsonb DEFAULT '{\"a\": [1, \"\\n\"]}', ADD b bytea DEFAULT '\\xff00', ADD k boolean DEFAULT true, "
    "ADD f double precision DEFAULT 'NaN', ADD m mood DEFAULT 'b', ADD i interval DEFAULT '1 mon 2 days', "
    'ADD s text[] DEFAULT \'{"a,b","",NULL}\''
)
FOLLOWED = {
    "added": ["ALTER TABLE added ADD COLUMN n int", "INSERT INTO added VALUES (3, 3, 3)"],
    "idle": ["ALTER TABLE idle ADD COLUMN n int"],
    "filled": ["ALTER TABLE filled " + DEFAULTS],
    "filled_twice": [
        "ALTER TABLE filled_twice ADD COLUMN n int DEFAULT 7",
        "UPDATE filled_twice SET v = 9 WHERE id = 1",
        "ALTER TABLE filled_twice ALTER n SET DEFAULT 8",
        "INSERT INTO filled_twice (id, v) VALUES (3, 3)",
        "ALTER TABLE filled_twice ADD COLUMN m text DEFAULT 'm'",
    ],
    "dropped": ["ALTER TABLE dropped DROP COLUMN v", "INSERT INTO dropped VALUES (3)"],
    "renamed": ["ALTER TABLE renamed RENAME v TO w", "UPDATE renamed SET w = 5 WHERE id = 2"],
    "widened": ["ALTER TABLE widened ALTER v TYPE bigint", "UPDATE widened SET v = 1099511627776 WHERE id = 2"],
    "widened_key": [
        "DELETE FROM widened_key WHERE id = 2",
        "ALTER TABLE widened_key ALTER id TYPE bigint",
        "INSERT INTO widened_key VALUES (1099511627776, 1), (2, 3)",
    ],
    "to_numeric": ["ALTER TABLE to_numeric ALTER v TYPE numeric(14,2)", "INSERT INTO to_numeric VALUES (3, 0.25)"],
    "full": [
        'ALTER TABLE "full" REPLICA IDENTITY FULL',
        'ALTER TABLE "full" ADD COLUMN n int DEFAULT 7',
        'UPDATE "full" SET v = 4 WHERE id = 1',
        'DELETE FROM "full" WHERE id = 2',
    ],
}
"""Table -> DDL, and changes of its rows after it."""
TOLD = {
    "volatile": (
        "ALTER TABLE volatile ADD COLUMN u uuid DEFAULT gen_random_uuid()",
        "VALUE",
        "column u uuid was added",
    ),
    "made_anew": ("ALTER TABLE made_anew DROP COLUMN v, ADD COLUMN v int", "VALUE", "column v was dropped"),
    "narrowed": ("ALTER TABLE narrowed ALTER v TYPE smallint", "SCHEMA", "column v is smallint and was integer"),
    "relabelled": ("ALTER TYPE relabelled_mood RENAME VALUE 'a' TO 'z'", "VALUE", "labels of the enum"),
    "computed": ("ALTER TABLE computed ALTER v TYPE int USING v + 1", "VALUE", "its rows were written anew"),
    "parted": ("ALTER TABLE parted ATTACH PARTITION filled_part FOR VALUES FROM (9) TO (99)", "MISSING", "filled_part"),
    "rekeyed": (
        "ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (id, v)",
        "SCHEMA",
        "the key is (id, v), and was (id)",
    ),
    "marked_up": ("ALTER TABLE marked_up ADD COLUMN x xml", "SCHEMA", "column x xml was added"),
    "called_else": ("ALTER TABLE called_else RENAME TO else_called", "SCHEMA", "is public.else_called now"),
    "moved": ("ALTER TABLE moved SET SCHEMA elsewhere", "SCHEMA", "is elsewhere.moved now"),
}
HEALED = {
    "volatile": "UPDATE volatile SET u = u",
    "relabelled": "UPDATE relabelled SET v = v",
    "computed": "UPDATE computed SET v = v",
    "parted": "UPDATE parted SET v = v",
}
"""What brings an event for the rows that DDL changed without one."""
TYPES = {"label_added": "mood", "relabelled": "relabelled_mood", "checked": "small"}
LABELS = {"label_added", "relabelled"}


@dataclass(frozen=True)
class Found:
    """Parity of all tables: after DDL that changes nothing, after all the rest, and after what heals."""

    harmless: Mapping[str, Finding]
    changed: Mapping[str, Finding]
    healed: Mapping[str, Finding]
    under_load: list[Finding]


@pytest.fixture(scope="module")
def found(test_home: Path) -> Iterator[Found]:
    made = [
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TYPE relabelled_mood AS ENUM ('a', 'b')",
        "CREATE DOMAIN small AS int",
        "CREATE SCHEMA elsewhere",
        "CREATE TABLE filled_part (id int PRIMARY KEY, v int NOT NULL)",
        "INSERT INTO filled_part VALUES (10, 1)",
        "CREATE TABLE busy (id int PRIMARY KEY, v int, w int)",
    ]
    tables = [*HARMLESS, *FOLLOWED, *TOLD, "busy"]
    for table in tables[:-1]:
        partitioned = " PARTITION BY RANGE (id)" if table == "parted" else ""
        made.append(f'CREATE TABLE "{table}" (id int PRIMARY KEY, v {TYPES.get(table, "int")} NOT NULL){partitioned}')
        if table == "not_null":
            made.append("ALTER TABLE not_null ALTER v DROP NOT NULL")
        if partitioned:
            made.append("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (9)")
        made.append(f'INSERT INTO "{table}" VALUES (1, {value(table)}), (2, {value(table)})')
    ddl = test_home / "changed.sql"
    ddl.write_text(";\n".join(made))
    spec = PipelineSpec(name="changed", tables=tables, source=SourceSpec(ddl=ddl), load=None)
    with running(Running, spec, "testddl") as pipeline:
        for table, statement in HARMLESS.items():
            pipeline.sql(statement)
            pipeline.sql(f"INSERT INTO {table} VALUES (3, {value(table)})")
            pipeline.sql(f"UPDATE {table} SET v = v WHERE id = 1")
        harmless = JUDGES["parity"](pipeline.pipeline, tables)
        under_load = changed_under_load(pipeline)
        for statement in (one for statements in FOLLOWED.values() for one in statements):
            pipeline.sql(statement)
        for statement, _, _ in TOLD.values():
            pipeline.sql(statement)
        changed = JUDGES["parity"](pipeline.pipeline, tables)
        for statement in HEALED.values():
            pipeline.sql(statement)
        yield Found(harmless, changed, JUDGES["parity"](pipeline.pipeline, tables), under_load)


def changed_under_load(pipeline: Running) -> list[Finding]:
    """Parity of a table whose columns change while it is written, after each change."""
    over = Event()

    def write() -> None:
        with pipeline.pipeline.source.session() as session:
            for number in count():
                if over.is_set():
                    return
                session.execute("INSERT INTO busy (id, v) VALUES (%s, %s)", [number, number])
                session.execute("UPDATE busy SET v = v + 1 WHERE id = %s", [number // 2])
                session.execute("DELETE FROM busy WHERE id = %s", [number // 3])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            judged = []
            for statement in (
                "ALTER TABLE busy ADD COLUMN n int NOT NULL DEFAULT 7",
                "ALTER TABLE busy RENAME w TO x",
                "ALTER TABLE busy ALTER v TYPE bigint",
                "ALTER TABLE busy DROP COLUMN x",
            ):
                pipeline.sql(statement)
                judged.append(JUDGES["parity"](pipeline.pipeline, ["busy"])["busy"])
        finally:
            over.set()
        writing.result()
    return judged


def value(table: str) -> str:
    return "'a'" if table in LABELS else "1"


def test_ddl_that_changes_no_row_is_green(found: Found) -> None:
    assert {table: finding.summary for table, finding in found.harmless.items() if not finding.passed} == {}


@pytest.mark.parametrize("table", list(FOLLOWED))
def test_a_schema_change_is_followed(found: Found, table: str) -> None:
    assert (found.changed[table].passed, found.changed[table].summary) == (True, found.changed[table].summary)


def test_schema_changes_are_followed_under_load(found: Found) -> None:
    assert [finding.summary for finding in found.under_load if not finding.passed] == []


@pytest.mark.parametrize("table", list(TOLD))
def test_what_cannot_be_followed_is_named(found: Found, table: str) -> None:
    finding = found.changed[table]
    _, verdict, words = TOLD[table]
    assert finding.verdicts == (verdict,)
    assert words in finding.summary
    assert "way on" in finding.details


@pytest.mark.parametrize("table", list(HEALED))
def test_an_update_brings_what_ddl_changed_without_an_event(found: Found, table: str) -> None:
    assert (found.healed[table].passed, found.healed[table].summary) == (True, found.healed[table].summary)


def test_the_other_tables_are_judged(found: Found) -> None:
    assert [table for table in HARMLESS if not found.changed[table].passed] == []
