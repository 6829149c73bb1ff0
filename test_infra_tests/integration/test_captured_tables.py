"""Tables of any name and of several schemas, parts of tables, and patterns, through one real pipeline.

Two judges: the project's own parity, and a plain SELECT of the quiet source against the rows of the mirror.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from test_infra.base.errors import UsageError
from test_infra.cdc.judge import continuity, findings, offsets, parity
from test_infra.cdc.judge.compare import TableParity
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import ColumnsSpec, PipelineSpec, RowsSpec, SourceSpec, TableSpec
from test_infra.cdc.pipeline.topics import end_offsets
from test_infra.cdc.types import identifier
from test_infra.spark.dcp.etl import DELTA_CONF, DELTA_JARS
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonFile
from test_infra_tests.jobs import awaited
from test_infra_tests.running import Running, prepared

pytestmark = pytest.mark.ci(
    reason="forty tables on a stack of their own; make test knows the rules for names by unit tests"
)

STACK = "testnames"

ODD = [
    "Invoice Lines", "order$archive", "c3+plus", "größe", "a/b", "..", "order.lines", ".hidden", "_under", "con",
    "pct%20", "hash#x=1?y", "comma,semi;", 'sa"y', "it's", "back\\slash", "tab\tline\nbreak", " lead", "{brace}",
    "[x]*", "$(id)", "🦆🦆", "ü" * 31, "x" * 63, "Both", "both", "-- comment", "select",
]  # fmt: skip
"""Names of tables, each legal in PostgreSQL and a trap for somebody on the way."""
ODD_COLUMNS = 'CREATE TABLE {} ("Key; ü.x" int, "va,lue" text, "col""q" text, PRIMARY KEY ("Key; ü.x"));'

TABLES = '''
CREATE SCHEMA sales;
CREATE SCHEMA "Hr.dept";
CREATE TABLE public.orders (id int PRIMARY KEY, v text);
CREATE TABLE sales.orders (id int PRIMARY KEY, v text);
CREATE TABLE sales.visits (id int PRIMARY KEY, v text);
CREATE TABLE sales.scratch_1 (v text);
CREATE TABLE sales.parts (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE sales.parts_low PARTITION OF sales.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE sales.parts_high PARTITION OF sales.parts FOR VALUES FROM (100) TO (1000);
CREATE TABLE "Hr.dept"."People" (id int PRIMARY KEY, v text);
CREATE TABLE c4_users (id int PRIMARY KEY, v text);
CREATE TABLE "C4_Users" (id int PRIMARY KEY, v text);
INSERT INTO "C4_Users" SELECT n, 'not captured' FROM generate_series(1, 50) n;
CREATE TABLE "pct-x-20" (other int, "Key; ü.x" text, PRIMARY KEY (other, "Key; ü.x"));
CREATE TABLE "aunder" (other int PRIMARY KEY, "va,lue" int);
CREATE TABLE "say ""hi""" (id int PRIMARY KEY);
CREATE TABLE "it''s" (id int PRIMARY KEY);
CREATE TABLE docs (
    id int PRIMARY KEY, v text, doc tsquery, "Search; vec" tsvector NOT NULL DEFAULT '', secret text NOT NULL
);
CREATE TABLE docs_full (id int PRIMARY KEY, v text, doc tsquery, secret text);
ALTER TABLE docs_full REPLICA IDENTITY FULL;
CREATE TABLE tenants (tenant text, id int, v text, PRIMARY KEY (tenant, id));
CREATE TABLE "Rows; kept" (id int PRIMARY KEY, v text, gone boolean NOT NULL DEFAULT false, secret tsquery);
ALTER TABLE "Rows; kept" REPLICA IDENTITY FULL;
INSERT INTO docs SELECT n, 'v' || n, 'a & b'::tsquery, 'a b'::tsvector, 'top' FROM generate_series(1, 20) n;
INSERT INTO docs_full SELECT n, 'v' || n, 'a & b'::tsquery, 'top' FROM generate_series(1, 20) n;
INSERT INTO tenants SELECT CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, n, 'v' FROM generate_series(1, 40) n;
INSERT INTO "Rows; kept" SELECT n, 'v', n % 3 = 0, 'a & b'::tsquery FROM generate_series(1, 30) n;
'''
PLAIN = ["orders", "sales.orders", "sales.visits", "sales.parts", '"Hr.dept".People', "c4_users"]

CHANGES = """
INSERT INTO docs VALUES (21, 'new', 'b', 'c'::tsvector, 'top');
UPDATE docs SET doc = 'c', "Search; vec" = 'd', secret = 'other' WHERE id = 1;
UPDATE docs SET v = 'changed', doc = NULL WHERE id = 2;
DELETE FROM docs WHERE id = 3;
INSERT INTO docs_full VALUES (21, 'new', 'b', 'top');
UPDATE docs_full SET doc = 'c', secret = 'other' WHERE id = 1;
UPDATE docs_full SET v = 'changed' WHERE id = 2;
DELETE FROM docs_full WHERE id = 3;
INSERT INTO tenants VALUES ('a', 41, 'in'), ('b', 42, 'out');
UPDATE tenants SET v = 'still in' WHERE id = 2;
UPDATE tenants SET v = 'still out' WHERE id = 1;
UPDATE tenants SET tenant = 'b' WHERE id = 4;
UPDATE tenants SET tenant = 'a' WHERE id = 3;
UPDATE tenants SET tenant = 'b' WHERE id = 6;
UPDATE tenants SET tenant = 'a', v = 'came back' WHERE id = 6;
DELETE FROM tenants WHERE id IN (8, 9);
UPDATE "Rows; kept" SET gone = true WHERE id = 1;
UPDATE "Rows; kept" SET gone = false, v = 'came in' WHERE id = 3;
UPDATE "Rows; kept" SET gone = true WHERE id = 2;
UPDATE "Rows; kept" SET v = 'while out' WHERE id = 2;
UPDATE "Rows; kept" SET gone = false WHERE id = 2;
UPDATE "Rows; kept" SET v = 'secret only', secret = 'b' WHERE id = 4;
DELETE FROM "Rows; kept" WHERE id IN (5, 6);
INSERT INTO "Rows; kept" VALUES (31, 'in', false), (32, 'out', true);
UPDATE "C4_Users" SET v = 'changed';
"""


def written(name: str) -> str:
    """A name as a user writes it in YAML."""
    return identifier(name)


def filled(table: str, columns: str = "id, v") -> str:
    return f"INSERT INTO {table} ({columns}) SELECT n, 'snapshot ' || n FROM generate_series(1, 10) n;"


def changed(table: str, key: str = "id", value: str = "v") -> str:
    return f"""INSERT INTO {table} ({key}, {value}) VALUES (11, 'later'), (12, 'gone');
        DELETE FROM {table} WHERE {key} IN (12, 1);
        UPDATE {table} SET {value} = 'changed' WHERE {key} = 2;
        UPDATE {table} SET {key} = 13 WHERE {key} = 3"""


def in_sql(label: str) -> str:
    return {"sales.parts": "sales.parts", '"Hr.dept".People': '"Hr.dept"."People"'}.get(label, label)


@dataclass
class Live(Running):
    """A pipeline in which everything has been changed once."""

    judged: dict[str, TableParity] = field(default_factory=dict)

    def table(self, label: str) -> list[tuple[Any, ...]]:
        """Rows of the mirror, without the mirror's own columns."""
        (schema,) = (schema for schema in self.schemas if schema.label == label)
        rows = open_table(self.folders.mirror(label)).dataset().to_table([column.name for column in schema.columns])
        return sorted(tuple(row.values()) for row in rows.to_pylist())


@pytest.fixture(scope="module")
def live(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    odd = [ODD_COLUMNS.format(identifier(name)) for name in ODD]
    odd += [filled(identifier(name), '"Key; ü.x", "va,lue"') for name in ODD]
    ddl.write_text("\n".join([TABLES, *odd, *(filled(in_sql(label)) for label in PLAIN)]))
    spec = PipelineSpec(
        name="named",
        tables=[
            *map(written, ODD),
            "orders",
            "sales.*",
            '"Hr.dept".People',
            "c4_users",
            TableSpec(table="docs", columns=ColumnsSpec(exclude=["doc", "Search; vec", "secret"])),
            TableSpec(table="docs_full", columns=ColumnsSpec(exclude=["doc", "secret"])),
            TableSpec(table="tenants", rows=RowsSpec(where="tenant = 'a' -- one of them")),
            TableSpec(table='"Rows; kept"', rows=RowsSpec(where="NOT gone"), columns=ColumnsSpec(exclude=["secret"])),
        ],
        exclude=["sales.scratch_*"],
        source=SourceSpec(ddl=ddl),
        load=None,
    )
    with prepared(Live, spec, STACK) as pipeline:
        pipeline.sql('ALTER TABLE "C4_Users" OWNER TO CURRENT_USER; REVOKE ALL ON "C4_Users" FROM PUBLIC')
        pipeline.capture()
        pipeline.sql(CHANGES)
        for label in PLAIN:
            pipeline.sql(changed(in_sql(label)))
        for name in ODD:
            pipeline.sql(changed(identifier(name), '"Key; ü.x"', '"va,lue"'))
        pipeline.judged = parity.check(pipeline.pipeline, timeout_s=120).tables
        yield pipeline


def test_every_table_is_equal_by_parity(live: Live) -> None:
    assert {label: found for label, found in live.judged.items() if not found.green} == {}
    assert len(live.judged) == len(ODD) + len(PLAIN) + 4


@pytest.mark.parametrize("name", ODD)
def test_table_with_an_odd_name_arrives_exactly(live: Live, name: str) -> None:
    label = next(
        label for label, table in live.pipeline.table_ids.items() if (table.schema, table.name) == ("public", name)
    )
    assert live.table(label) == sorted(live.sql(f"SELECT * FROM {identifier(name)}"))
    assert len(live.table(label)) == 10


@pytest.mark.parametrize("label", PLAIN)
def test_tables_of_one_name_in_several_schemas_and_of_a_pattern_arrive_exactly(live: Live, label: str) -> None:
    assert live.table(label) == sorted(live.sql(f"SELECT * FROM {in_sql(label)}"))


def test_pattern_means_no_partition_and_nothing_excluded(live: Live) -> None:
    assert [table.id.label for table in live.pipeline.captured["sales.*"]] == [
        "sales.orders", "sales.parts", "sales.visits",
    ]  # fmt: skip


def test_table_that_differs_only_by_case_is_never_read(live: Live) -> None:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(bootstrap_servers=live.stack.endpoint("kafka").url)
    topics = {topic for topic in consumer.topics() if topic.startswith(live.names.topic_prefix)}
    consumer.close()
    assert live.topic("c4_users") in topics
    assert live.names.topic("public", "C4_Users") not in topics
    assert sum(end_offsets(live.stack.endpoint("kafka").url, live.topic("c4_users")).values()) < 50


@pytest.mark.parametrize(("label", "left_out"), [("docs", "doc, Search; vec, secret"), ("docs_full", "doc, secret")])
def test_excluded_columns_are_nowhere_in_the_lake_and_named_in_the_finding(
    live: Live, label: str, left_out: str
) -> None:
    assert live.table(label) == sorted(live.sql(f"SELECT id, v FROM {label}"))
    fields = open_table(live.folders.changes(label)).schema().field("after").type
    assert [field.name for field in fields] == ["id", "v"]
    finding = findings.parity(live.judged[label])
    assert finding.details["columns left out"] == left_out
    assert f"columns left out: {left_out}" in finding.summary


def test_rows_of_a_filter_are_those_that_the_source_keeps(live: Live) -> None:
    assert live.table("tenants") == sorted(live.sql("SELECT * FROM tenants WHERE tenant = 'a'"))
    assert live.table("Rows; kept") == sorted(live.sql('SELECT id, v, gone FROM "Rows; kept" WHERE NOT gone'))
    assert (findings.parity(live.judged["tenants"]).details["rows captured"]) == "where tenant = 'a' -- one of them"


def test_every_offset_is_accounted_for_and_everything_belongs_together(live: Live) -> None:
    accounts = offsets.check(live.pipeline)
    assert {label: account for label, account in accounts.items() if not account.green} == {}
    assert continuity.breaks(live.pipeline) == []


def test_a_spark_job_reads_mirrors_with_odd_names(live: Live, tmp_path: Path) -> None:
    named = ["..", "pct%20"]
    labels = [table.label for table in live.pipeline.table_ids.values() if table.name in named]
    paths = [str(live.folders.mirror(label)) for label in labels]
    code = f"""
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
counts = [spark.read.format("delta").load(path).count() for path in {paths!r}]
print("counts", counts)
"""
    (tmp_path / "job.py").write_text(code)
    gateway = SparkGateway(live.stack)
    spec = JobSpec(
        name="reads",
        application=PythonFile(python_file=str(tmp_path / "job.py")),
        conf=DELTA_CONF,
        jar_groups=(DELTA_JARS,),
    )
    execution_id = gateway.submit(spec, idempotency_key="reads")
    awaited(gateway, execution_id, JobState.SUCCEEDED, within_s=300)
    expected = [len(live.table(label)) for label in labels]
    assert len(expected) == len(named)
    assert f"counts {expected}" in gateway.log_path(execution_id).read_text()


def test_rows_changed_behind_a_filter_turn_parity_red(live: Live) -> None:
    """A planted fault: the publication's filter is another one than the pipeline's."""
    name = live.names.replication
    live.sql(f"ALTER PUBLICATION {identifier(name)} SET TABLE tenants WHERE (tenant = 'b')")
    live.sql("INSERT INTO tenants VALUES ('a', 99, 'not sent')")
    found = parity.check(live.pipeline, ["tenants"], timeout_s=60).tables["tenants"]
    assert found.counts == {"MISSING": 1}
    broken = {item.part: item.what for item in continuity.breaks(live.pipeline)}
    assert any("is not \"(tenant = 'a'::text)\"" in what for what in broken.values()), broken


def test_table_made_later_that_a_pattern_means_is_told(live: Live) -> None:
    live.sql("CREATE TABLE sales.late (id int PRIMARY KEY)")
    broken = {item.part: item.what for item in continuity.breaks(live.pipeline)}
    assert broken["table sales.late"] == "sales.* means it, and it is not captured: it was made later"
    live.sql("DROP TABLE sales.late")


@pytest.mark.parametrize(
    ("table", "refusal"),
    [
        (TableSpec(table="orders", columns=ColumnsSpec(exclude=["id"])), "is in its key and cannot be left out"),
        (
            TableSpec(table="orders", columns=ColumnsSpec(exclude=["V"])),
            "orders has no column V that could be left out",
        ),
        (TableSpec(table="orders", rows=RowsSpec(where="v = 'a'")), "uses v, which is not in its replica identity"),
        (TableSpec(table="orders", rows=RowsSpec(where="id > random()")), "PostgreSQL does not take a row filter"),
        (TableSpec(table="orders", rows=RowsSpec(where="nothing = 1")), "PostgreSQL does not take a row filter"),
        (
            TableSpec(table='"comma,semi;"', rows=RowsSpec(where="true")),
            r"has a row filter and a comma \(,\) in its name",
        ),
        ('"say ""hi"""', r'has a double quote \("\) at an end'),
        ("it''s", r"has two single quotes in a row \(''\)"),
        ("saless.*", r"no table matches saless\.\*"),
    ],
)
def test_what_cannot_be_captured_is_refused_by_name(live: Live, table: str | TableSpec, refusal: str) -> None:
    spec = PipelineSpec(name="refused", tables=[table], load=None)
    with pytest.raises(UsageError, match=refusal):
        prepare(RunningPipeline(live.stack, spec))
