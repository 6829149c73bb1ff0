"""Two relations of rows compared key by key: which are missing, extra, doubled, or have another value, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.judge import sums
from test_infra.cdc.judge.comparison import MOST_CHARACTERS
from test_infra.cdc.judge.differences import MOST_DIFFERENCES, Compared
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.types import rule_for
from test_infra.cdc.types.sql_template import statement

if TYPE_CHECKING:
    from test_infra.cdc.judge.comparison import Comparison

_sql = partial(statement, Path(__file__).with_name("compare_rows.sql.j2"))


@dataclass(frozen=True)
class DifferingRows:
    """What differed between two relations.

    Args:
        keys: name of a table that has the key columns of every differing row.
        extra: how many keys only the second relation has.
    """

    keys: str
    extra: int


def suspect_rows(comparison: Comparison, what: str, rows: str, unequal: str, dirty: str) -> str:
    """A table of the rows of clean keys in the buckets whose sums are unequal.

    Args:
        comparison: of the table.
        what: part of the table's name.
        rows: a relation under the judge's names.
        unequal: relation of the buckets.
        dirty: relation of the dirty keys.
    """
    bucket = sums.bucket_sql(comparison.columns.own)
    query = _sql("suspect_rows", rows=rows, bucket=bucket, unequal=unequal, dirty=dirty, keys=comparison.keys)
    return comparison.tables.make(what, query)


def find_duplicates(comparison: Comparison, relations: list[str]) -> None:
    """Find keys that the mirror has more than once; `one_row_per_key` of their rows is compared further.

    Args:
        comparison: of the table.
        relations: rows of the mirror, no row in two of them.
    """
    query = _sql("duplicate_keys", relations=relations, keys=comparison.keys)
    duplicates = comparison.tables.make("duplicate keys", query)
    comparison.found.count(Verdict.DUPLICATE, comparison.tables.rows(duplicates))
    shown = f"SELECT {comparison.key_texts}, rows FROM {duplicates} ORDER BY {comparison.keys}"
    for *key, rows in comparison.first(shown, MOST_DIFFERENCES):
        comparison.found.show(Verdict.DUPLICATE, key, "", ("1 row", f"{rows} rows"), Compared.SOURCE_WITH_MIRROR)


def one_row_per_key(comparison: Comparison, rows: str) -> str:
    """Query, in parentheses, of one row for each key."""
    return _sql("one_row_per_key", rows=rows, keys=comparison.keys)


def find_differing_rows(comparison: Comparison, expected: str, found: str, compared: Compared) -> DifferingRows:
    """Join two relations on the key, and count and show what differs.

    Args:
        comparison: of the table.
        expected: relation of the rows that must be there, one for each key.
        found: relation of the rows that are there, one for each key.
        compared: which two sides these are.
    """
    columns = comparison.columns
    query = _sql(
        "differing_rows",
        expected=expected,
        found=found,
        keys=columns.keys,
        columns=[(column.name, own.name) for column, own in zip(columns.columns, columns.own, strict=True)],
        values=[
            {
                "name": column.name,
                "own": own.name,
                "differs": rule_for(column).differs(f"l.{own.name}", f"r.{own.name}"),
            }
            for column, own in columns.values
        ],
        piece=MOST_CHARACTERS,
    )
    differing = comparison.tables.make(compared.value, query)
    by_verdict = comparison.tables.connection.execute(
        f"SELECT verdict, count(*) FROM {differing} GROUP BY ALL"
    ).fetchall()
    counts: dict[Verdict, int] = {Verdict(verdict): count for verdict, count in by_verdict}
    for verdict, count in counts.items():
        comparison.found.count(verdict, count)
    shown = f"SELECT {comparison.key_texts}, verdict, places FROM {differing} ORDER BY {comparison.keys}"
    for *key, verdict, places in comparison.first(shown, MOST_DIFFERENCES):
        for place in places:
            values = (place["expected"], place["found"])
            comparison.found.show(Verdict(verdict), key, place["name"], values, compared, place["skipped"])
    return DifferingRows(differing, counts.get(Verdict.EXTRA, 0))
