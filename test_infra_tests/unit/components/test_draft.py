"""The text of a draft: YAML whatever tables and columns are called."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.sources.postgres.survey import Address, Survey, SurveyedTable
from test_infra.cdc.types.table_id import table_id
from test_infra.components.draft import pipeline_yaml, stack_yaml

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)


def of(*tables: SurveyedTable, capture_user: str = "") -> Survey:
    address = Address("/var/run/postgresql", 5432, "shop: #1", "owner")
    return Survey(address, ("public",), tables, capture_user, (("wal_level is replica\n- evil", "change it"),))


@given(NAMES, NAMES, NAMES)
def test_every_name_is_read_as_it_was(name: str, column: str, other: str) -> None:
    fit = SurveyedTable(table_id("public", name, "public"), excluded=((column, "xml:\nno"),), generated=(other,))
    unfit = SurveyedTable(table_id("public", other, "public"), fault=f"table {other} has no key", remedy=other)
    read = yaml.safe_load(pipeline_yaml("p", of(fit, unfit)))["attributes"]
    assert read["tables"] == [{"table": fit.id.label, "columns": {"exclude": [column]}}]


def test_what_yaml_would_take_for_something_else_is_quoted() -> None:
    names = ["yes", "null", "1", "1e3", "On", "a.b", "c", "Größe", "2026-11-27"]
    tables = [SurveyedTable(table_id("public", name, "public")) for name in names]
    read = yaml.safe_load(pipeline_yaml("p", of(*tables)))["attributes"]["tables"]
    assert read == [table.id.label for table in tables]


def test_without_a_capture_role_the_statement_that_makes_one_is_there() -> None:
    text = stack_yaml("shop", of())
    assert "# CREATE ROLE shop_capture LOGIN REPLICATION PASSWORD" in text
    external = yaml.safe_load(text)["attributes"]["services"]["postgres"]["external"]
    assert (external["host"], external["database"], external["capture_user"]) == (
        "localhost",
        "shop: #1",
        "shop_capture",
    )
    assert "CREATE ROLE" not in stack_yaml("shop", of(capture_user="debezium"))
