"""The parts of a DuckDB type as data are what DuckDB itself says."""

from __future__ import annotations

import duckdb
import pytest

from test_infra.cdc.types import FAMILIES, element_of, fields_of, rule_for
from test_infra.cdc.types.table import Column

NESTED = [
    'STRUCT(a INTEGER, "b, c" DECIMAL(12,2))',
    'STRUCT("say ""hi""" VARCHAR, "with (" STRUCT(x DOUBLE, y DOUBLE)[])',
    "STRUCT(p STRUCT(x DOUBLE), l INTEGER[])",
    'STRUCT(""""  INTEGER)',
]


@pytest.mark.parametrize("written", NESTED)
def test_fields_of_a_struct_are_what_duckdb_reads(written: str) -> None:
    known = duckdb.sqltype(written)
    assert [(name, duckdb.sqltype(kind)) for name, kind in fields_of(written)] == known.children
    assert element_of(written) is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_type_of_the_table_is_taken_apart_as_duckdb_does(family) -> None:
    written = rule_for(Column("c", family.example)).duckdb
    known = duckdb.sqltype(written)
    if known.id == "struct":
        assert [(name, duckdb.sqltype(kind)) for name, kind in fields_of(written)] == known.children
    elif known.id == "list":
        assert duckdb.sqltype(element_of(written) or "") == known.children[0][1]
    else:
        assert (element_of(written), fields_of(written)) == (None, ())


def test_a_list_of_structs_has_structs_for_elements() -> None:
    assert element_of("STRUCT(x DOUBLE)[]") == "STRUCT(x DOUBLE)"
    assert fields_of("STRUCT(x DOUBLE)[]") == ()
