"""How a captured table is written, called, and kept apart from every other one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.base.errors import UsageError
from test_infra.cdc.types.table_id import TableId, parse_table, safe_name, table_id

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)
SCHEMAS = st.one_of(st.just("public"), NAMES)


@pytest.mark.parametrize(
    ("written", "schema", "name", "label"),
    [
        ("orders", "public", "orders", "orders"),
        ("public.orders", "public", "orders", "orders"),
        ("sales.orders", "sales", "orders", "sales.orders"),
        ("Invoice Lines", "public", "Invoice Lines", "Invoice Lines"),
        ('"Invoice Lines"', "public", "Invoice Lines", "Invoice Lines"),
        ('"order.lines"', "public", "order.lines", '"order.lines"'),
        ('sales."order.lines"', "sales", "order.lines", 'sales."order.lines"'),
        ('"a.b".c', "a.b", "c", '"a.b".c'),
        ('"say ""hi"""', "public", 'say "hi"', '"say ""hi"""'),
        ('".."', "public", "..", '".."'),
        (" orders ", "public", "orders", "orders"),
        ('" orders "', "public", " orders ", '" orders "'),
    ],
)
def test_table_is_written_as_in_sql_and_keeps_its_case(written: str, schema: str, name: str, label: str) -> None:
    assert parse_table(written, "public") == TableId(schema, name, label)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("", "it is empty"),
        ("a.b.c", r"more than one dot \(\.\)"),
        ("sales.", "nothing stands before or after the dot"),
        ("sales. ", "nothing stands before or after the dot"),
        (".orders", "nothing stands before or after the dot"),
        ('"orders', "without its partner"),
        ('say"hi', "without its partner"),
        ('Odd "name" %s', r"a double quote \(\"\) in the middle of a name"),
    ],
)
def test_what_is_no_name_is_refused_by_its_character(written: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        parse_table(written, "public")


@given(SCHEMAS, NAMES)
def test_label_of_any_table_reads_back_as_that_table(schema: str, name: str) -> None:
    table = table_id(schema, name, "public")
    assert parse_table(table.label, "public") == table
    assert parse_table(table.qualified, "public") == table


@given(SCHEMAS, NAMES, SCHEMAS, NAMES)
def test_two_tables_have_two_labels_and_two_safe_names(schema: str, name: str, schema2: str, name2: str) -> None:
    one, other = table_id(schema, name, "public"), table_id(schema2, name2, "public")
    assert (one == other) == (one.label == other.label) == (safe_name(one.label) == safe_name(other.label))


@given(SCHEMAS, NAMES)
def test_safe_name_is_one_lower_case_folder_for_every_disk_and_reader(schema: str, name: str) -> None:
    safe = safe_name(table_id(schema, name, "public").label)
    assert safe == safe.lower()
    assert safe[0].isalnum()
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert len(safe.encode()) <= 200
    assert safe.partition(".")[0] not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@pytest.mark.parametrize(
    "label", ["..", "a/b", "Users", "users ", "_users", ".users", "con", "größe", "a%2fb", "a#b", "-"]
)
def test_dangerous_names_are_replaced(label: str) -> None:
    assert safe_name(label) != label


@pytest.mark.parametrize("label", ["orders", "sales.orders", "order_items", "t2"])
def test_ordinary_names_stay_as_they_are(label: str) -> None:
    assert safe_name(label) == label
