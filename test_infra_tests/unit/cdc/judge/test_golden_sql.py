"""The SQL of a comparison is what golden/ says, for a table with odd names, a composite key, a struct and a list."""

from __future__ import annotations

from pathlib import Path

import pytest

import test_infra.cdc.judge
import test_infra.cdc.lake
from test_infra.cdc.types import sql_template
from test_infra_tests.unit.cdc.judge.golden_sql import FOLDER, GOLDEN, text

TEMPLATES = [
    *Path(test_infra.cdc.judge.__file__).parent.glob("*.sql.j2"),
    Path(test_infra.cdc.lake.__file__).with_name("unchanged_values.sql.j2"),
]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_sql_of_a_comparison_is_the_golden_text(name: str) -> None:
    assert text(GOLDEN[name]()) == (FOLDER / name).read_text(encoding="utf-8"), "make golden"


def test_every_statement_of_the_templates_is_in_a_golden_text(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[tuple[Path, str]] = set()
    macros = sql_template._macros

    class Watched:
        def __init__(self, file: Path) -> None:
            self._file = file

        def __getattr__(self, name: str) -> object:
            used.add((self._file, name))
            return getattr(macros(self._file), name)

    monkeypatch.setattr(sql_template, "_macros", Watched)
    for record in GOLDEN.values():
        record()
    for file in TEMPLATES:
        statements = {name for name in vars(macros(file)) if not name.startswith("_") and name not in PARTS}
        assert statements - {name for used_file, name in used if used_file == file} == set(), file.name


PARTS = {"lacks", "fills", "struct_of", "counts", "same_before", "whole_row"}
"""Macros that only other macros use."""


def test_a_value_that_was_not_given_is_an_error(tmp_path: Path) -> None:
    import jinja2

    file = tmp_path / "one.sql.j2"
    query = "SELECT * FROM {{ table | identifier }} LIMIT {{ most }}"
    file.write_text("{% macro rows(table, most) %}\n" + query + "\n{% endmacro %}")
    assert sql_template.statement(file, "rows", table='a "b"', most=1) == 'SELECT * FROM "a ""b""" LIMIT 1'
    with pytest.raises(jinja2.UndefinedError, match="most"):
        sql_template.statement(file, "rows", table="a")
    with pytest.raises(TypeError, match="least"):
        sql_template.statement(file, "rows", table="a", most=1, least=0)
