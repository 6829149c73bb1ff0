"""Which tables the lines of a pipeline mean."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from test_infra.base.errors import UsageError
from test_infra.cdc.pipeline.captured import refuse_clashes, refuse_unmatched, resolve
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.types.table_id import table_id

AVAILABLE = [
    table_id(schema, name, "public")
    for schema, name in [
        ("sales", "orders"),
        ("sales", "Orders"),
        ("sales", "order.lines"),
        ("sales", "scratch_1"),
        ("hr", "people"),
        ("public", "orders"),
        ("public", "order_items"),
        ("public", "a*b"),
        ("public", "axb"),
        ("salesman", "visits"),
    ]
]


def meant(*tables: str, exclude: tuple[str, ...] = ()) -> dict[str, list[str]]:
    spec = PipelineSpec(name="shop", tables=tables, exclude=exclude)
    resolved = resolve(spec.entries, spec.excluded, AVAILABLE)
    return {label: [table.id.label for table in found] for label, found in resolved.items()}


@pytest.mark.parametrize(
    ("pattern", "tables"),
    [
        ("sales.*", ["sales.Orders", 'sales."order.lines"', "sales.orders", "sales.scratch_1"]),
        ("order*", ["order_items", "orders"]),
        ("public.order_*", ["order_items"]),
        ("*.orders", ["orders", "sales.orders"]),
        ("sales.?rders", ["sales.Orders", "sales.orders"]),
        ('"a*b"', ['"a*b"']),
        ("a?b", ['"a*b"', "axb"]),
        ("nothing.*", []),
    ],
)
def test_pattern_means_the_tables_whose_whole_names_match(pattern: str, tables: list[str]) -> None:
    assert list(meant(pattern).values()) == [tables]


def test_excluded_tables_are_not_those_of_a_pattern() -> None:
    assert meant("sales.*", exclude=("sales.scratch_*", 'sales."order.lines"', "sales.Orders")) == {
        "sales.*": ["sales.orders"]
    }


def test_named_table_and_an_earlier_pattern_come_first() -> None:
    assert meant("order*", "*.orders", "sales.orders") == {
        "order*": ["order_items", "orders"],
        "*.orders": [],
        "sales.orders": ["sales.orders"],
    }


def test_pattern_without_a_table_is_refused_by_name() -> None:
    spec = PipelineSpec(name="shop", tables=["sale.*", "orders"])
    with pytest.raises(UsageError, match=r"no table matches sale\.\*") as refused:
        refuse_unmatched(resolve(spec.entries, spec.excluded, AVAILABLE), AVAILABLE)
    assert "sales.orders" in refused.value.details["tables of the source"]


def test_tables_of_a_pattern_that_share_a_topic_are_refused() -> None:
    found = [table_id("sales", "a b", "public"), table_id("sales", "a$b", "public")]
    with pytest.raises(UsageError, match=r"sales\.a b and sales\.a\$b would share a topic"):
        refuse_clashes(found)


@pytest.mark.parametrize(
    ("tables", "exclude", "fault"),
    [
        (["sales.orders"], ["sales.*"], "both under `tables:` and under `exclude:`"),
        (["sales.*", "sales.*"], [], "is there twice"),
        (["a.b.c"], [], "more than one dot"),
        (["orders"], ['"x'], "without its partner"),
    ],
)
def test_lines_that_contradict_each_other_are_refused(tables: list[str], exclude: list[str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        PipelineSpec(name="shop", tables=tables, exclude=exclude)
