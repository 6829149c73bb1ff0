"""A user's columns may have every name that our own SQL uses, in the key and outside it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import test_infra.cdc
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import mirror_schema
from test_infra.cdc.types import UNAVAILABLE
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.one_table import INVISIBLE, OneTable

CDC = Path(test_infra.cdc.__file__).parent
LONGEST_NAME = 63
COLUMNS = 48


SQL = re.compile(r"\b(SELECT|FROM|WHERE|AS|OVER|CASE|WHEN|THEN|AND|OR|IS|IN|lambda)\b|:=|^\w+$")
"""What tells a piece of SQL, or a single name, from a sentence for people."""


def words_of_templates(text: str) -> set[str]:
    """Words of the SQL in a template, names of its macros and their arguments included."""
    return _names(re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL))


def words_of_python(text: str) -> set[str]:
    """Words of the SQL and of the single names in a module's strings, docstrings left out."""
    tree = ast.parse(text)
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in documented if node.body and isinstance(node.body[0], ast.Expr)}
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }
    return {name for string in strings if SQL.search(string) for name in _names(string)}


def _names(sql: str) -> set[str]:
    """Words that can be the name of a column or relation: SQL's own words are written in capitals."""
    return {word for word in re.findall(r"[A-Za-z_]\w*", sql) if not word.isupper() and len(word) <= LONGEST_NAME}


def words() -> list[str]:
    """Every name that the SQL between a Kafka record and a verdict uses; one of those that differ by case only."""
    found: set[str] = set()
    for room in (CDC / "judge", CDC / "lake", CDC / "stream"):
        found |= {word for file in room.glob("*.j2") for word in words_of_templates(file.read_text())}
        found |= {word for file in room.glob("*.py") for word in words_of_python(file.read_text())}
    # The names that the judge itself gives to columns.
    found |= {f"{letter}{number}" for letter in "kv" for number in range(1, 12)}
    return sorted({word.lower(): word for word in sorted(found)}.values())


def own_columns() -> set[str]:
    """Columns of the mirror itself, which a source's table must not have: that is refused."""
    plain = TableSchema("public", "t", (Column("id", "bigint", key_position=1),))
    return set(mirror_schema(plain).names) - {"id"}


WORDS = [word for word in words() if word.lower() not in own_columns()]

# Type -> the value of a row by its number: as Debezium writes it, as the source sends it, as a report shows it.
KINDS = {
    "text": lambda number: (f"t{number}", f"t{number}", f"t{number}"),
    "bigint": lambda number: (number, number, str(number)),
    "double precision": lambda number: (number + 0.5, number + 0.5, str(number + 0.5)),
    "numeric": lambda number: (f"{number}.50", f"{number}.5", f"{number}.5"),
    "text[]": lambda number: ([f"a{number}", None], [f"a{number}", None], f"[a{number}, NULL]"),
    "interval": lambda number: (
        f"P0Y0M{number}DT0H0M0S",
        [0, number, 0],
        f"{{'months': 0, 'days': {number}, 'microseconds': 0}}",
    ),
    "boolean": lambda number: (number % 2 == 0, number % 2 == 0, str(number % 2 == 0).lower()),
}
ARROW = {"boolean": pa.bool_(), "interval": pa.list_(pa.int64()), "text[]": pa.list_(pa.string())}
KEY_KINDS = ("bigint", "text")


@dataclass(frozen=True)
class Named:
    """A table whose columns have these names, and rows of it by number.

    Args:
        names: the first two are the key.
        full: whether events carry the whole row before.
    """

    names: tuple[str, ...]
    full: bool = False

    @property
    def schema(self) -> TableSchema:
        kinds = [*KEY_KINDS, *(list(KINDS)[place % len(KINDS)] for place in range(len(self.names) - 2))]
        # The key is not the first columns, and its order is not that of the columns.
        columns = [
            Column(name, kind, key_position=2 - place if place < 2 else None)
            for place, (name, kind) in enumerate(zip(self.names, kinds, strict=True))
        ]
        return TableSchema("public", "t", (*columns[1:], columns[0]))

    def row(self, key: int, value: int) -> dict[str, Any]:
        """As Debezium writes it."""
        return {c.name: KINDS[c.type](key if c.key_position else value)[0] for c in self.schema.columns}

    def unsent(self, key: int, value: int) -> dict[str, Any]:
        """As Debezium writes it when an update left out the texts; with the whole row before it never does."""
        if self.full:
            return self.row(key, value)
        texts = {c.name for c in self.schema.columns if c.type == "text" and not c.key_position}
        return {name: UNAVAILABLE if name in texts else given for name, given in self.row(key, value).items()}

    def source(self, *rows: tuple[int, int], kept: dict[int, int]) -> pa.Table:
        """Rows, key and value, as the source sends them; of some keys the texts have the value before."""
        columns = {}
        for c in self.schema.columns:
            before = kept if c.type == "text" and not self.full else {}
            values = [KINDS[c.type](key if c.key_position else before.get(key, value))[1] for key, value in rows]
            columns[c.name] = pa.array(values, ARROW.get(c.type))
        return pa.table(columns)


def judged(folder: Path, named: Named) -> None:
    """A history with every kind of event: what follows from it is equal; planted values and keys are found."""
    folder.mkdir(parents=True, exist_ok=True)
    with OneTable(folder, named.schema) as made:

        def event(op: str, lsn: int, key: int, value: int, before: int | None = None, tx_id: int = 700) -> Any:
            image = named.row(key, before) if named.full and before is not None else None
            return made.event(op, lsn, named.row(key, value), before=image, tx_id=tx_id)

        made.feed(*(event("r", 5, key, 0) for key in range(1, 6)))
        made.feed(event("u", 10, 1, 1, 0), event("c", 11, 6, 1), event("d", 12, 2, 0, 0))
        before = named.row(3, 0) if named.full else None
        made.feed(made.event("u", 20, named.unsent(3, 2), before=before), *moved(made, named, 21, 4, 7))
        made.feed(
            event("u", 30, 5, 3, 0, INVISIBLE),
            event("d", 31, 6, 1, 1, INVISIBLE),
            event("c", 32, 8, 3, None, INVISIBLE),
        )
        assert made.refused() == []
        source = named.source((1, 1), (3, 2), (7, 2), (5, 0), (6, 1), kept={3: 0, 7: 0})
        parity = made.parity(source, before_images=named.full)
        assert parity.green, parity
        assert (parity.clean_keys, parity.dirty_keys) == (3, 3), parity
        _find_planted_values(made, named, source)
        _find_planted_keys(made, named, source)


def moved(made: OneTable, named: Named, lsn: int, old: int, new: int) -> Any:
    return made.rewritten(lsn, named.row(old, 0), named.unsent(new, 2))


def _find_planted_values(made: OneTable, named: Named, source: pa.Table) -> None:
    """Another value in each column of the row of key 1."""
    columns = [column for column in named.schema.columns if not column.key_position]
    for column in columns:
        source = _with(source, column, KINDS[column.type](90)[1])
    parity = made.parity(source, before_images=named.full)
    assert {each.verdict for each in parity.differences} == {Verdict.VALUE}, parity
    found = [(each.column, each.source_value, each.mirror_value) for each in parity.differences]
    expected = [(column.name, KINDS[column.type](90)[2], KINDS[column.type](1)[2]) for column in columns]
    assert sorted(found) == sorted(expected)


def _find_planted_keys(made: OneTable, named: Named, source: pa.Table) -> None:
    """Another key of the row of key 1."""
    for column in named.schema.key:
        source = _with(source, column, KINDS[column.type](90)[1])
    parity = made.parity(source, before_images=named.full)
    keys = {each.verdict: each.key for each in parity.differences}
    lost, extra = ({column.name: KINDS[column.type](n)[2] for column in named.schema.key} for n in (90, 1))
    assert keys == {Verdict.MISSING: lost, Verdict.EXTRA: extra}, parity
    assert all(bool(each.source_value) != bool(each.mirror_value) for each in parity.differences), parity
    assert all(not each.column for each in parity.differences), parity


def _with(source: pa.Table, column: Column, value: Any) -> pa.Table:
    """The source with another value in its first row."""
    place = source.schema.get_field_index(column.name)
    field = source.schema.field(place)
    wrong = pa.concat_arrays([pa.array([value], field.type), source[place].combine_chunks()[1:]])
    return source.set_column(place, field, wrong)


TABLES = [tuple(WORDS[first : first + COLUMNS]) for first in range(0, len(WORDS), COLUMNS)]


def test_the_words_are_those_of_the_code() -> None:
    lower = {word.lower() for word in WORDS}
    assert {"lsn", "op", "after", "before", "present", "bucket", "rows", "key", "visible", "found", "k1", "v1"} <= lower
    assert {"rowid", "kv", "k", "t", "s", "unchanged", "deleted_key", "newest", "event"} <= lower


WORST = ("lsn", "op", "after", "key", "before", "present", "_deleted", "bucket", "rows", "rowid", "k1", "v1", "t", "s")


@pytest.mark.parametrize("full", [False, True], ids=["default identity", "full identity"])
def test_columns_are_named_like_the_columns_of_change_log_and_judge(tmp_path: Path, *, full: bool) -> None:
    judged(tmp_path, Named(WORST, full=full))


@pytest.mark.ci(reason="every name of the SQL outside the key: 400 columns")
@pytest.mark.parametrize("names", TABLES, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_columns_are_named_like_anything_in_our_sql(tmp_path: Path, names: tuple[str, ...]) -> None:
    judged(tmp_path, Named(names))


@pytest.mark.ci(reason="names of the SQL in the key, with before-images: 15 tables")
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(WORDS), min_size=3, max_size=12, unique_by=str.lower), st.booleans())
def test_keys_are_named_like_anything_in_our_sql(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], full: bool
) -> None:
    judged(tmp_path_factory.mktemp("table"), Named(tuple(names), full=full))
