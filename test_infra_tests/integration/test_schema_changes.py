"""DDL on a running pipeline: what changes nothing stays green, what cannot be followed is named, and nobody else is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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
TOLD = {
    "added": ("ALTER TABLE added ADD COLUMN n int", "SCHEMA", "column n integer was added"),
    "filled": (
        "ALTER TABLE filled ADD COLUMN n int DEFAULT 7",
        "SCHEMA",
        "column n integer was added, and old rows got its default without an event",
    ),
    "dropped": ("ALTER TABLE dropped DROP COLUMN v", "SCHEMA", "column v was dropped"),
    "renamed": ("ALTER TABLE renamed RENAME v TO w", "SCHEMA", "column v is w now"),
    "widened": ("ALTER TABLE widened ALTER v TYPE bigint", "SCHEMA", "column v is bigint and was integer"),
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
TYPES = {"label_added": "mood", "relabelled": "relabelled_mood", "checked": "small"}
LABELS = {"label_added", "relabelled"}


@pytest.fixture(scope="module")
def changed(test_home: Path) -> Iterator[tuple[Mapping[str, Finding], Mapping[str, Finding]]]:
    """Parity of all tables, first after DDL that changes nothing, then after all the rest."""
    made = [
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TYPE relabelled_mood AS ENUM ('a', 'b')",
        "CREATE DOMAIN small AS int",
        "CREATE SCHEMA elsewhere",
        "CREATE TABLE filled_part (id int PRIMARY KEY, v int NOT NULL)",
        "INSERT INTO filled_part VALUES (10, 1)",
    ]
    tables = [*HARMLESS, *TOLD]
    for table in tables:
        partitioned = " PARTITION BY RANGE (id)" if table == "parted" else ""
        made.append(f"CREATE TABLE {table} (id int PRIMARY KEY, v {TYPES.get(table, 'int')} NOT NULL){partitioned}")
        if table == "not_null":
            made.append("ALTER TABLE not_null ALTER v DROP NOT NULL")
        if partitioned:
            made.append("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (9)")
        made.append(f"INSERT INTO {table} VALUES (1, {value(table)}), (2, {value(table)})")
    ddl = test_home / "changed.sql"
    ddl.write_text(";\n".join(made))
    spec = PipelineSpec(name="changed", tables=tables, source=SourceSpec(ddl=ddl), load=None)
    with running(Running, spec, "testddl") as pipeline:
        for table, statement in HARMLESS.items():
            pipeline.sql(statement)
            pipeline.sql(f"INSERT INTO {table} VALUES (3, {value(table)})")
            pipeline.sql(f"UPDATE {table} SET v = v WHERE id = 1")
        harmless = JUDGES["parity"](pipeline.pipeline, tables)
        for statement, _, _ in TOLD.values():
            pipeline.sql(statement)
        yield harmless, JUDGES["parity"](pipeline.pipeline, tables)


def value(table: str) -> str:
    return "'a'" if table in LABELS else "1"


def test_ddl_that_changes_no_row_is_green(changed: tuple[Mapping[str, Finding], Mapping[str, Finding]]) -> None:
    assert {table: finding.summary for table, finding in changed[0].items() if not finding.passed} == {}


@pytest.mark.parametrize("table", list(TOLD))
def test_what_cannot_be_followed_is_named(
    changed: tuple[Mapping[str, Finding], Mapping[str, Finding]], table: str
) -> None:
    finding = changed[1][table]
    _, verdict, words = TOLD[table]
    assert finding.verdicts == (verdict,)
    assert words in finding.summary
    assert "way on" in finding.details


def test_the_other_tables_are_judged(changed: tuple[Mapping[str, Finding], Mapping[str, Finding]]) -> None:
    assert [table for table in HARMLESS if not changed[1][table].passed] == []
