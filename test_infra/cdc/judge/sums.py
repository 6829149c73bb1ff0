"""Rows summed by bucket: two sides with equal sums have equal rows, and unequal sums say where to look.

Each row has two 64-bit hashes of its typed values. The hashes of a bucket are added, not XORed: with XOR, two equal
rows too many would cancel each other. No value becomes text. A difference stays unseen with a probability of about
2**-64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.types import FLOATS, element_of, field_sql, fields_of, identifier, rule_for

if TYPE_CHECKING:
    from test_infra.cdc.types.table import Column

BUCKET_BITS = 12
SECOND_SEED = 7


def sums_sql(rows: str, columns: Sequence[Column]) -> str:
    """Bucket, number of rows and the sums of both hashes, for each bucket of ``rows`` that is not empty.

    Args:
        rows: a relation, or a query in parentheses, that has the columns typed as their rules say.
        columns: what is hashed; the key columns among them choose the bucket.
    """
    first, second = row_hashes_sql(columns)
    return f"""SELECT {bucket_sql(columns)} AS bucket, count(*) AS rows,
        sum({first})::HUGEINT AS sum1, sum({second})::HUGEINT AS sum2 FROM {rows} GROUP BY ALL"""


def row_hashes_sql(columns: Sequence[Column]) -> tuple[str, str]:
    """Two hashes of a row's values that have nothing in common."""
    values = [value for column in columns for value in _parts(identifier(column.name), _kind(column))]
    # A hash of the hash: DuckDB joins the last value by XOR, which would let swapped values cancel in a sum.
    return f"hash(hash({', '.join(values)}))", f"hash(hash({', '.join([str(SECOND_SEED), *values[::-1]])}))"


def bucket_sql(columns: Sequence[Column]) -> str:
    """The bucket of a row, from its key; without a key, from all its values."""
    keyed = [column for column in columns if column.key_position is not None] or columns
    keys = ", ".join(identifier(column.name) for column in keyed)
    return f"(hash({keys}) >> {64 - BUCKET_BITS})::INTEGER"


def unequal_sql(plus: Sequence[str], minus: Sequence[str]) -> str:
    """Buckets in which the sums of ``plus`` together are not those of ``minus`` together; all are relations of sums."""
    parts = [f"SELECT bucket, rows, sum1, sum2 FROM {sums}" for sums in plus]
    parts += [f"SELECT bucket, -rows AS rows, -sum1 AS sum1, -sum2 AS sum2 FROM {sums}" for sums in minus]
    return f"""SELECT bucket FROM ({" UNION ALL ".join(parts)}) GROUP BY bucket
        HAVING sum(rows) <> 0 OR sum(sum1) <> 0 OR sum(sum2) <> 0"""


def row_hash_sql(row: str, columns: Sequence[Column]) -> str:
    """A 64-bit hash of a struct that has the columns; NULL has one of its own."""
    values = [value for column in columns for value in _parts(field_sql(row, column.name), _kind(column))]
    return f"hash(hash({row} IS NULL, {', '.join(values)}))"


def _kind(column: Column) -> str:
    return rule_for(column).duckdb


def _parts(value: str, kind: str) -> list[str]:
    """What is hashed of a value, so that no two values of a type have one hash by construction.

    DuckDB's own hash is not enough for that: 0.0 and -0.0 have one, as have the lists NULL, [], [NULL] and [0, NULL],
    [0] and [0, 0], and a struct of NULLs and NULL.
    """
    if element := element_of(kind):
        parts = ", ".join(_parts("one", element))
        hashes = f"list_transform({value}, lambda one, place: hash(hash({parts}, place, {SECOND_SEED})))"
        return [f"len({value})", f"list_sum({hashes})"]
    if fields := fields_of(kind):
        return [f"{value} IS NULL", *(part for name, of in fields for part in _parts(field_sql(value, name), of))]
    return [value, f"signbit({value})"] if kind in FLOATS else [value]
