"""Whether a table's shape lets its changes be told apart: identity, deferred keys, partitions, inheritance.

What Debezium really emits for each identity was tried on the real stack (docs/decisions/0015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.catalogue import NoPrimaryKey, name_lists
from test_infra.cdc.sources.postgres.key_index import KEY_INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from test_infra.cdc.types.table_id import TableId

KEY_IS = "a primary key, or a unique index over NOT NULL columns: not partial, no expression, not deferrable"

# One row for each captured table and, below a partitioned one, one for each partition that holds rows.
_QUERY = f"""
WITH captured AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
    JOIN pg_namespace n ON n.nspname = wanted.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind IN ('r', 'p')
), part AS (
    SELECT captured.nspname AS schema_name, captured.relname AS table_name, captured.oid AS root,
        captured.relkind = 'p' AS partitioned, leaf.relid
    FROM captured, LATERAL pg_partition_tree(captured.oid) AS leaf WHERE captured.relkind = 'p' AND leaf.isleaf
    UNION ALL SELECT nspname, relname, oid, false, oid FROM captured WHERE relkind = 'r'
)
SELECT part.schema_name, part.table_name, CASE WHEN part.partitioned THEN c.relname END,
    c.relreplident, c.relpersistence,
    coalesce(own_key.indimmediate, true),
    -- Without what an index only includes: that is not sent with a delete. By name: a partition may have other numbers.
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid
            AND a.attnum = ANY ((identity.indkey::int2[])[0:identity.indnkeyatts - 1]))
        @> ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = part.root
            AND a.attnum = ANY (key_index.attnums)),
    NOT part.partitioned AND EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = c.oid),
    CASE WHEN NOT key_index.indisprimary THEN (
        SELECT quote_ident(index.relname) FROM pg_index i JOIN pg_class index ON index.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND key_index.indexrelid IN (i.indexrelid, pg_partition_root(i.indexrelid))
    ) END,
    key_index.indexrelid IS NULL
FROM part JOIN pg_class c ON c.oid = part.relid
LEFT JOIN LATERAL ({KEY_INDEX.format(table="part.root")}) AS key_index ON true
LEFT JOIN pg_index own_key ON own_key.indrelid = c.oid AND own_key.indisprimary
LEFT JOIN pg_index identity ON identity.indrelid = c.oid AND identity.indisreplident
ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Shape:
    """How one physical table stands to logical decoding.

    Args:
        table: captured table.
        partition: which of its partitions; None for an ordinary table.
        identity: replica identity: ``d`` default, ``f`` full, ``i`` index, ``n`` nothing.
        persistence: ``p`` permanent, ``u`` unlogged.
        key_immediate: the primary key is checked at once, not at the end of a transaction.
        identity_covers_key: an index identity has every column of the key.
        has_children: other tables inherit from it.
        stand_in: the unique index, quoted, that stands for a primary key; None where there is one, or neither.
        keyless: there is neither: the table can only take inserts.
    """

    table: TableId
    partition: str | None
    identity: str
    persistence: str
    key_immediate: bool
    identity_covers_key: bool
    has_children: bool
    stand_in: str | None = None
    keyless: bool = False


def shapes(connection: psycopg.Connection, wanted: Sequence[TableId]) -> list[Shape]:
    """The tables and partitions that hold the rows of these tables."""
    ids = {(table.schema, table.name): table for table in wanted}
    rows = connection.execute(_QUERY, name_lists(wanted)).fetchall()
    return [Shape(ids[schema, name], *row) for schema, name, *row in rows]


def problem(shape: Shape) -> UsageError | None:
    """Why the changes of this table cannot be told apart; None when they can."""
    name = f"{shape.table.schema}.{shape.partition}" if shape.partition else shape.table.qualified
    what = f"partition {name} of {shape.table.label}" if shape.partition else f"table {name}"
    if shape.persistence == "u":
        return UsageError(
            f"{what} is unlogged, so its changes are not in the WAL",
            hint=f"ALTER TABLE {name} SET LOGGED, or leave the table out of the pipeline",
        )
    if shape.has_children:
        return UsageError(
            f"{what} has tables that inherit from it: a SELECT shows their rows, but their changes come under their "
            "own names",
            hint="leave it out of the pipeline, or capture a partitioned table instead",
        )
    return _keyless_problem(shape, what, name) if shape.keyless else _identity_problem(shape, what, name)


def only_inserts(shape: Shape) -> UsageError:
    """What to know of a table without a key."""
    name = shape.table.qualified
    return UsageError(
        f"table {name} has no key: its inserts and truncates are captured, and PostgreSQL refuses its updates and "
        "deletes from now on, because it is published",
        details={"a key is": KEY_IS},
        hint=f"if it is more than appended to, add a key, or leave {name} out of the pipeline",
    )


def _keyless_problem(shape: Shape, what: str, name: str) -> NoPrimaryKey | None:
    if shape.identity in ("d", "n"):
        return None
    identity = "FULL" if shape.identity == "f" else "USING INDEX, of an index that is gone or has a generated column"
    return NoPrimaryKey(
        f"{what} has no primary key, and no unique index that could stand for one, and REPLICA IDENTITY {identity}: an "
        "update or delete would not say which of several equal rows it means",
        details={"a key is": KEY_IS},
        hint=f"add a key; or ALTER TABLE {name} REPLICA IDENTITY DEFAULT, if it is only appended to; or leave it out "
        "of the pipeline",
    )


def _identity_problem(shape: Shape, what: str, name: str) -> UsageError | None:
    key = f"key of the unique index {shape.stand_in}" if shape.stand_in else "primary key"
    identity = f"ALTER TABLE {name} REPLICA IDENTITY {f'USING INDEX {shape.stand_in}' if shape.stand_in else 'DEFAULT'}"
    if shape.identity == "n":
        return UsageError(
            f"{what} has REPLICA IDENTITY NOTHING: PostgreSQL refuses its updates and deletes once it is published",
            hint=identity,
        )
    if shape.identity == "d" and shape.stand_in:
        return UsageError(
            f"{what} has no primary key, and REPLICA IDENTITY DEFAULT, which means one: PostgreSQL refuses its updates "
            "and deletes once it is published",
            hint=f"{identity}, or FULL",
        )
    if not shape.key_immediate:
        return UsageError(
            f"{what} has a deferrable primary key: two rows may hold one key within a transaction, and no event says "
            "which of them is meant",
            hint="make the primary key NOT DEFERRABLE, or leave the table out of the pipeline",
        )
    if shape.identity == "i" and not shape.identity_covers_key:
        return UsageError(
            f"{what} has a REPLICA IDENTITY index without every column of the {key}: Debezium would give its "
            "deletes the key 0 or '' and would not see a key change",
            hint=f"{identity}, or use an index that has the columns of the {key}",
        )
    return None
