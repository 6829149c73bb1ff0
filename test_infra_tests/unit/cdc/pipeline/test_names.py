"""Topics, lists of the connector and clashes, for whatever tables are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from test_infra.cdc.pipeline.names import PipelineNames, debezium_topic
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.sources.debezium import exact, key_columns, unreadable
from test_infra.cdc.sources.postgres import row_filters
from test_infra.cdc.types.table import Column, TableSchema
from test_infra.resources.keys import table_keys

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@pytest.mark.parametrize(
    ("table", "topic"),
    [
        ("orders", "p.public.orders"),
        ("Invoice Lines", "p.public.Invoice_Lines"),
        ("order$archive", "p.public.order_archive"),
        ("c3+plus", "p.public.c3_plus"),
        ("größe", "p.public.gr__e"),
        ("a/b", "p.public.a_b"),
        ("..", "p.public..."),
        ("🦆", "p.public.__"),
        (" ", "p.public"),
    ],
)
def test_topic_is_the_one_that_debezium_writes_to(table: str, topic: str) -> None:
    assert debezium_topic("p", "public", table) == topic


@given(NAMES, NAMES)
def test_kafka_takes_the_topic_of_any_table(schema: str, table: str) -> None:
    topic = PipelineNames("0123456789", "p" * 40).topic(schema, table)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic)


def in_python(pattern: str) -> str:
    """A Java expression of `exact` as Python's ``re`` has it: numbered characters, and case counts anyway."""
    numbered = re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: re.escape(chr(int(found[1], 16))), pattern)
    return numbered.removeprefix("(?-i)")


@given(st.lists(NAMES, min_size=2, max_size=3), st.lists(NAMES, min_size=2, max_size=3))
def test_list_of_the_connector_matches_its_table_and_no_other(parts: list[str], others: list[str]) -> None:
    pattern = exact(*parts)
    assert not set(", \t\n") & set(pattern)
    expression = re.compile(in_python(pattern), re.DOTALL)
    assert expression.fullmatch(".".join(parts))
    assert bool(expression.fullmatch(".".join(others))) == (".".join(others) == ".".join(parts))


@given(NAMES, NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True), NAMES)
def test_key_columns_of_the_connector_are_those_of_its_table_and_no_other(
    schema: str, table: str, columns: list[str], other: str
) -> None:
    entry = key_columns(schema, table, columns)
    assert re.fullmatch(r"\s*([^\s:]+):([^:\s]+)\s*", entry), "the form that Debezium 3.7 asks for"
    assert ";" not in entry
    of_table, listed = entry.split(":")
    expressions = [re.compile(in_python(f"{of_table}.{column}"), re.DOTALL) for column in listed.split(",")]
    for expression, column in zip(expressions, columns, strict=True):
        assert expression.fullmatch(f"{schema}.{table}.{column}")
        assert bool(expression.fullmatch(f"{schema}.{table}.{other}")) == (other == column)


def test_case_counts_in_lists_of_the_connector() -> None:
    assert exact("public", "c4_users") == r"(?-i)public\.c4_users"
    assert exact("public", "a,b c") == r"(?-i)public\.a\x{2c}b\x{20}c"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("it's", ""),
        ('sa"y', ""),
        ("a`b", ""),
        ('"quoted', 'a double quote (") at an end'),
        ('say "hi"', 'a double quote (") at an end'),
        ("it''s", "two single quotes in a row ('')"),
        ("a``b", "two backticks in a row (``)"),
    ],
)
def test_names_that_debezium_reads_as_others_are_told(name: str, fault: str) -> None:
    assert unreadable(name) == fault


def test_snapshot_of_a_filtered_table_reads_by_the_same_condition_as_the_stream() -> None:
    columns = (Column("id", "bigint", nullable=False, key_position=1), Column("a b", "text"))
    plain, filtered = TableSchema("public", "t", columns), TableSchema("s", "T 1", columns, where="id > 1 -- why")
    assert row_filters.snapshot_properties([plain]) == {}
    assert row_filters.snapshot_properties([plain, filtered]) == {
        "snapshot.select.statement.overrides": '"s"."T 1"',
        'snapshot.select.statement.overrides."s"."T 1"': 'SELECT "id", "a b" FROM "s"."T 1" WHERE (id > 1 -- why\n)',
    }
    assert row_filters.published_table(filtered) == '"s"."T 1" WHERE (id > 1 -- why\n)'


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        (["a b", "a$b"], r"public\.a b and public\.a\$b would share a topic"),
        (["public_a.b", "a_b"], r"public_a\.b and public\.a_b would share a topic"),
        (["größe", "grüße"], "would share a topic"),
        (["orders", "public.orders"], "table public.orders is captured twice"),
        (["orders", '"orders"'], "table public.orders is captured twice"),
    ],
)
def test_tables_that_cannot_be_told_apart_are_refused(tables: list[str], names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        PipelineSpec(name="shop", tables=tables)


def test_two_tables_of_one_name_in_two_schemas_have_keys_of_their_own() -> None:
    spec = PipelineSpec(name="shop", tables=["orders", "hr.orders", 'sales."a b"'], source=SourceSpec())
    assert {label: key.path for label, key in table_keys(spec, "mirror").items()} == {
        "orders": ["shop", "mirror", "orders"],
        "hr.orders": ["shop", "mirror", "hr", "orders"],
        "sales.a b": ["shop", "mirror", "sales", "a_b_c8687a"],
    }
