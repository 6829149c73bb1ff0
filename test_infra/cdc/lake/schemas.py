"""Columns of the tables that a pipeline writes: change log, mirror and quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.types import dialect_of, rule_for
from test_infra.cdc.types.table import MIRROR_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.cdc.types.table import TableSchema

TOMBSTONE = "tombstone"
OPERATIONS = ("c", "u", "d", "r", "t", TOMBSTONE)


def key_type(schema: TableSchema) -> pa.StructType:
    """Struct of the key columns, typed; of a table without a key, of what identifies its rows."""
    import pyarrow as pa

    return pa.struct([(column.name, rule_for(column).arrow) for column in schema.in_lake.key])


def row_type(schema: TableSchema) -> pa.StructType:
    """Struct of all columns, typed."""
    import pyarrow as pa

    return pa.struct([(column.name, rule_for(column).arrow) for column in schema.columns])


def changes_schema(schema: TableSchema) -> pa.Schema:
    """Columns of ``changes/<table>``: a row per record of the topic, re-deliveries and tombstones included."""
    import pyarrow as pa

    utc = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            ("op", pa.string()),
            ("key", key_type(schema)),
            ("before", row_type(schema)),
            ("after", row_type(schema)),
            # Columns that are NULL in `after` because their values did not change and were not sent (TOAST).
            ("unchanged", pa.list_(pa.string())),
            ("lsn", dialect_of(schema).position_type()),
            ("tx_id", pa.int64()),
            ("tx_order", pa.int64()),
            ("snapshot", pa.bool_()),
            ("commit_ts", utc),
            ("event_ts", utc),
            ("kafka_partition", pa.int32()),
            ("kafka_offset", pa.int64()),
            ("kafka_ts", utc),
            ("batch_id", pa.int64()),
        ]
    )


def mirror_schema(schema: TableSchema) -> pa.Schema:
    """Columns of ``mirror/<table>``: the source's, `ROW_ID` if it has no key, then where the newest event came from."""
    import pyarrow as pa

    source = [(column.name, rule_for(column).arrow) for column in schema.in_lake.columns]
    origin = (dialect_of(schema).position_type(), pa.int64(), pa.timestamp("us", "UTC"), pa.bool_())
    return pa.schema([*source, *zip(MIRROR_COLUMNS, origin, strict=True)])


def quarantine_schema() -> pa.Schema:
    """Columns of ``quarantine``: the record as it was, where it lies in Kafka, and why it was refused."""
    import pyarrow as pa

    return pa.schema(
        [
            ("topic", pa.string()),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
            ("reason", pa.string()),
            ("key", pa.binary()),
            ("value", pa.binary()),
            ("kafka_ts", pa.timestamp("us", "UTC")),
            ("batch_id", pa.int64()),
        ]
    )


def plain(schema: pa.Schema) -> pa.Schema:
    """A schema without metadata, nullability and large or view types, so that two schemas compare by meaning."""
    import pyarrow as pa

    def simple(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(kind):
            return pa.struct([(field.name, simple(field.type)) for field in kind])
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return pa.list_(simple(kind.value_type))
        if pa.types.is_map(kind):
            return pa.map_(simple(kind.key_type), simple(kind.item_type))
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return pa.string()
        if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
            return pa.binary()
        return kind

    return pa.schema([(field.name, simple(field.type)) for field in schema])
