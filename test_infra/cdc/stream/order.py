"""Which event of a key wins. The order is the source's, never Kafka's: a re-delivered old event has a newer offset.

Per key, streamed events come after snapshot reads, and within each kind the higher LSN is newer. Deletes and truncates
are remembered, so that an older event that is delivered again brings no row back.

An update that writes a key in another form of the same value (1 as 1.00, 0.0 as -0.0) comes as the delete of a key and
the create of the same key at one LSN, because Debezium compares texts. So of two events at one LSN the create is newer.

All reads of one initial snapshot have the same LSN: its *generation*. An interrupted snapshot is repeated with a higher
one. Rows that were deleted in between are in the older generation only, so a newer generation removes all of its rows.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from test_infra.cdc.lake.schemas import mirror_schema
from test_infra.cdc.types import identifier, rule_for
from test_infra.cdc.types.position import Stored, later

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.types.table import TableSchema

DELETED = "whether the newest event of the key is a delete; a name longer than any column's"
"""Column of the merged rows beside the mirror's, as no column of a source is called."""

NEWER = "((t._snapshot AND NOT s._snapshot) OR (t._snapshot = s._snapshot AND s._lsn > t._lsn))"
"""Merge condition: the event ``s`` is newer than what the mirror's row ``t`` came from."""


class DeletedKeys:
    """The deletes and the truncate of one table that older events must not undo.

    Args:
        connection: DuckDB that holds them; from `test_infra.cdc.stream.parse.connect`.
        changes: deletes and truncates of the change log so far, ``op, key, lsn``: what is remembered after a start.
        generation: position of the newest initial snapshot in it; None for none.
    """

    def __init__(self, connection: DuckDBPyConnection, changes: pa.Table, generation: Stored | None = None) -> None:
        self._connection = connection
        self.truncated_lsn: Stored | None = None
        self.generation = generation
        self._bounds: list[tuple[Stored, dict[int, int]]] = []
        connection.register("changes", changes)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE deleted_keys AS {_DELETES}")
        self._note_bounds()
        connection.unregister("changes")

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM deleted_keys").fetchall()[0][0])

    def newest(self, changes: pa.Table, schema: TableSchema) -> pa.Table:
        """The newest event of each key in a micro-batch, as rows of the mirror plus `DELETED`.

        Left out are events older than a remembered delete or truncate; the micro-batch's own deletes and
        truncates are remembered first.
        """
        import pyarrow as pa

        connection = self._connection
        connection.register("changes", changes)
        try:
            self._note_bounds()
            connection.execute(f"INSERT INTO deleted_keys {_DELETES}")
            bounds = {"truncated": self.truncated_lsn, "generation": self.generation}
            given = {name: bound for name, bound in bounds.items() if bound is not None}
            query = _newest_sql(schema.in_lake, truncated="truncated" in given, read="generation" in given)
            rows = connection.sql(query, params=given).to_arrow_table()
        finally:
            connection.unregister("changes")
        wanted = mirror_schema(schema).append(pa.field(DELETED, pa.bool_()))
        return rows.select(wanted.names).cast(wanted)

    def retype(self, schema: TableSchema) -> None:
        """Give the keys the types that the table's key has now."""
        fields = ", ".join(f"{identifier(column.name)} {rule_for(column).duckdb}" for column in schema.in_lake.key)
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE deleted_keys AS
            SELECT CAST("key" AS STRUCT({fields})) AS "key", lsn FROM deleted_keys"""
        )

    def forget_after(self, committed_lsn: Stored, end_offsets: dict[int, int]) -> None:
        """Deletes up to ``committed_lsn`` may be forgotten once everything below ``end_offsets`` is applied.

        The connector never delivers again what lies below its committed LSN; but what it has delivered again before
        may still lie in Kafka, so the end offsets must be read *after* the committed LSN.
        """
        self._bounds.append((committed_lsn, end_offsets))

    def forget(self, applied: dict[int, int]) -> None:
        """Forget the deletes whose bound is passed by the applied end offsets."""
        passed = [bound for bound in self._bounds if all(applied.get(part, 0) >= end for part, end in bound[1].items())]
        if passed:
            lsn = max(bound[0] for bound in passed)
            self._connection.execute("DELETE FROM deleted_keys WHERE lsn <= ?", [lsn])
            self._bounds = [bound for bound in self._bounds if bound[0] > lsn]

    def _note_bounds(self) -> None:
        query = "SELECT max(lsn) FILTER (op = 't'), max(lsn) FILTER (op = 'r') FROM changes"
        ((truncated, read),) = self._connection.execute(query).fetchall()
        self.truncated_lsn = later(self.truncated_lsn, truncated)
        self.generation = later(self.generation, read)


_DELETES = """SELECT "key", max(lsn) AS lsn FROM changes WHERE op = 'd' GROUP BY ALL"""


@cache
def _newest_sql(schema: TableSchema, *, truncated: bool, read: bool) -> str:
    names = [(identifier(column.name), column.key_position) for column in schema.columns]
    columns = ", ".join(f"{'after' if place is None else 'newest.key'}.{name} AS {name}" for name, place in names)
    of_generation = "AND lsn >= $generation" if read else ""
    before_truncate = "OR snapshot OR lsn < $truncated" if truncated else ""
    return f"""
    WITH newest AS (
        SELECT * FROM changes WHERE op IN ('c', 'u', 'd') OR (op = 'r' {of_generation})
        QUALIFY row_number() OVER (PARTITION BY "key" ORDER BY snapshot, lsn DESC, op = 'd', kafka_offset DESC) = 1
    ), deletes AS (
        SELECT "key" AS deleted_key, max(lsn) AS deleted_lsn FROM deleted_keys
        WHERE "key" IN (SELECT "key" FROM newest) GROUP BY "key"
    )
    SELECT {columns}, lsn AS _lsn, tx_id AS _tx_id, commit_ts AS _commit_ts, snapshot AS _snapshot,
        op = 'd' AS {identifier(DELETED)}
    FROM newest LEFT JOIN deletes ON "key" = deleted_key
    WHERE op = 'd' OR NOT (
        (snapshot AND deleted_lsn IS NOT NULL) OR coalesce(NOT snapshot AND lsn < deleted_lsn, false)
        {before_truncate}
    )"""
