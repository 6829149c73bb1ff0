"""Kafka records of one table's topic -> typed change rows, and the records that had to be refused.

No side effects: Arrow in, Arrow out; DuckDB reads the JSON. No value is silently replaced by NULL: when a value is
there and cannot be read, or a column is missing or unknown, the record is refused and the reason names the column.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from test_infra.cdc.lake.schemas import TOMBSTONE, changes_schema, quarantine_schema
from test_infra.cdc.lake.scratch_db import SETTINGS
from test_infra.cdc.types import UNAVAILABLE, dialect_of, identifier, literal, rule_for, widen_sql
from test_infra.cdc.types.table import ROW_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.types.table import Column, TableSchema

_ENVELOPE = ("$.op", "$.source.ts_us", "$.ts_us", "$.before", "$.after")
_OP, _COMMIT_TS, _EVENT_TS, _BEFORE, _AFTER, _TX, _POSITION = range(1, len(_ENVELOPE) + 3)
_UNCHANGED = (
    UNAVAILABLE,
    base64.b64encode(UNAVAILABLE.encode()).decode(),  # bytea
    json.dumps([UNAVAILABLE]),  # arrays of texts
    json.dumps(list(UNAVAILABLE.encode()), separators=(",", ":")),  # arrays of numbers
)
"""Every form in which Debezium writes that a value was not sent because it did not change; seen on a real stack."""
_REFUSED = ("topic", "kafka_partition", "kafka_offset", "reason", "raw_key", "raw_value", "kafka_ts", "batch_id")


@dataclass(frozen=True)
class Parsed:
    """The records of one topic in one micro-batch.

    Args:
        changes: rows for ``changes/<table>``.
        refused: rows for ``quarantine``.
        end_offsets: partition -> end offset, exclusive, refused records included.
        max_commit_ts_us: largest commit time, microseconds since 1970; 0 for none.
        max_tx_id: largest 64-bit transaction id; 0 for none.
    """

    changes: pa.Table
    refused: pa.Table
    end_offsets: dict[int, int]
    max_commit_ts_us: int
    max_tx_id: int


def memory_db() -> DuckDBPyConnection:
    """A new DuckDB in memory, in UTC, that fetches nothing. One thread may use it at a time; see `session_of`."""
    import duckdb

    connection = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    connection.execute(SETTINGS)
    return connection


def session_of(database: DuckDBPyConnection) -> DuckDBPyConnection:
    """A session of its own in a DuckDB: its temporary tables, for one thread at a time. Databases have threads each."""
    session = database.cursor()
    session.execute(SETTINGS)
    return session


def parse(
    connection: DuckDBPyConnection,
    records: pa.Table,
    schema: TableSchema,
    *,
    tx_id_reference: int,
    batch_id: int,
) -> Parsed:
    """Typed rows of the records of one table's topic.

    Args:
        connection: from `memory_db`.
        records: ``key, value`` (binary), ``topic, partition, offset, timestamp`` as Spark's Kafka source gives.
        schema: the captured table.
        tx_id_reference: a recent 64-bit transaction id; see `test_infra.cdc.types.widen`.
        batch_id: micro-batch, written into every row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    given = {"reference": tx_id_reference, "batch": batch_id}
    parsed = _run(connection, quick_sql(schema), records, given)
    good = parsed["good"]
    changes, refused = [parsed.filter(good)], []
    if not pc.all(good).as_py():
        doubtful = _run(connection, full_sql(schema), _rows_of(records, parsed.filter(pc.invert(good))), given)
        changes.append(doubtful.filter(pc.is_null(doubtful["reason"])))
        refused.append(doubtful.filter(pc.is_valid(doubtful["reason"])))
    rows = _shaped(changes, changes_schema(schema), changes_schema(schema).names)
    ends = records.group_by("partition").aggregate([("offset", "max")]).to_pylist()
    return Parsed(
        changes=rows,
        refused=_shaped(refused, quarantine_schema(), _REFUSED),
        end_offsets={row["partition"]: row["offset_max"] + 1 for row in ends},
        max_commit_ts_us=pc.max(rows["commit_ts"].cast(pa.int64())).as_py() or 0,
        max_tx_id=pc.max(rows["tx_id"]).as_py() or 0,
    )


def _run(connection: DuckDBPyConnection, query: str, records: pa.Table, given: dict[str, int]) -> pa.Table:
    connection.register("records", records)
    try:
        # Through a table, because a query that is handed over as a relation is planned twice.
        connection.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {query}", given)
        return connection.table("parsed").to_arrow_table()
    finally:
        connection.unregister("records")


def _rows_of(records: pa.Table, wanted: pa.Table) -> pa.Table:
    keys = wanted.select(["kafka_partition", "kafka_offset"]).rename_columns(["partition", "offset"])
    places = set(zip(*(keys[name].to_pylist() for name in keys.column_names), strict=True))
    found = zip(records["partition"].to_pylist(), records["offset"].to_pylist(), strict=True)
    return records.filter([place in places for place in found])


def _shaped(parts: list[pa.Table], schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    tables = [pa.table([part[name] for name in names], names=schema.names).cast(schema) for part in parts]
    return pa.concat_tables(tables) if tables else schema.empty_table()


@dataclass(frozen=True)
class _Image:
    """One image of a row in an event: the message key, ``before`` or ``after``.

    Args:
        name: of the image, and of the typed struct made from it.
        columns: its columns.
        values: name of the list of scalars as text.
        kinds: name of the list of JSON types.
        first: 1-based place of the first column in both lists.
    """

    name: str
    columns: tuple[Column, ...]
    values: str
    kinds: str
    first: int

    def placed(self) -> Iterable[tuple[Column, str, str]]:
        """Each column with the SQL of its text and of its JSON type."""
        for place, column in enumerate(self.columns, self.first):
            yield column, f"{self.values}[{place}]", f"{self.kinds}[{place}]"

    def struct(self) -> str:
        """SQL of the typed struct; a field that cannot be parsed is NULL in it."""
        fields = (
            f"{identifier(column.name)} := {rule_for(column).from_debezium(value)}"
            for column, value, _ in self.placed()
        )
        return f"struct_pack({', '.join(fields)})"

    def sent(self) -> str:
        """SQL of the struct with NULL where a value was not sent."""
        fields = (
            f"{identifier(column.name)} := CASE WHEN NOT {_unsent(value)} "
            f"THEN {self.name}.{identifier(column.name)} END"
            for column, value, _ in self.placed()
        )
        return f"CASE WHEN {self.name} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"

    def unchanged(self) -> str:
        """SQL of the list of columns whose values were not sent; NULL for none."""
        names = (f"CASE WHEN {_unsent(value)} THEN {literal(column.name)} END" for column, value, _ in self.placed())
        listed = f"list_filter([{', '.join(names)}]::VARCHAR[], lambda name: name IS NOT NULL)"
        return f"CASE WHEN {self.name} IS NOT NULL AND len({listed}) > 0 THEN {listed} END"

    def good(self) -> str:
        """SQL that is true when no column has a problem. Faster than `problems`; may be false for a good record."""
        return " AND ".join(self._good(*placed) for placed in self.placed())

    def _good(self, column: Column, value: str, kind: str) -> str:
        rule = rule_for(column)
        read = f"{kind} IN {_tuple(rule.json_types)} AND {self.name}.{identifier(column.name)} IS NOT NULL"
        filled = f" OR {value} = ''" if self.name == "before" and "VARCHAR" in rule.json_types else ""
        null = "" if self.name == "key_row" else f" OR {kind} = 'NULL'"
        return f"coalesce({read}{null}{filled}, false)"

    def problems(self) -> str:
        """SQL of a text that names every bad column; empty when there is none."""
        return f"concat_ws('; ', {', '.join(self._problem(*placed) for placed in self.placed())})"

    def _problem(self, column: Column, value: str, kind: str) -> str:
        rule, where = rule_for(column), f"{self.name.removesuffix('_row')}.{column.name}"
        # Into a NOT NULL column of a before image that PostgreSQL did not send, Debezium fills '' or 0.
        filled = f" AND {value} <> ''" if self.name == "before" else ""
        null_key = f" WHEN {kind} = 'NULL' THEN {literal(f'{where} is null')}" if column.key_position else ""
        reason = literal(f"{where} is an unchanged value, not sent") if column.key_position else "NULL"
        unsent = f" WHEN {_unsent(value)} THEN {reason}"
        return f"""CASE
            WHEN {kind} IS NULL THEN {literal(f"{where} is missing")}
            {null_key if self.name != "before" else ""}
            WHEN {kind} = 'NULL' THEN NULL
            {unsent if self.name == "after" else ""}
            WHEN {kind} NOT IN {_tuple(rule.json_types)} THEN {literal(f"{where} is of JSON type ")} || {kind}
            WHEN {self.name}.{identifier(column.name)} IS NULL{filled}
                THEN {literal(f"{where} is no {rule.duckdb}")}
        END"""


@cache
def quick_sql(schema: TableSchema) -> str:
    """The fast query: typed columns and ``good``, which is false for every record that `full_sql` must decide on."""
    images = _Images.of(schema)
    key_is_good = "key_row IS NOT NULL"
    changed = f"after IS NOT NULL AND len(after_names) = {len(schema.columns)} AND {images.after.good()}"
    if schema.key:
        key_is_good += f" AND len(key_names) = {len(schema.key)} AND {images.key.good()}"
        changed += f" AND {images.key_of_after()}"
    event = f"""lsn IS NOT NULL AND commit_ts IS NOT NULL AND (op = 'r' OR tx IS NOT NULL)
        AND CASE WHEN op IN ('c', 'u', 'r') THEN {changed} ELSE op = 'd' AND after IS NULL END
        AND (before IS NULL OR ({images.before.good()}))
        AND {" AND ".join(f"NOT contains(j, {literal(text)})" for text in _searched(schema))}"""
    good = f"coalesce({key_is_good} AND (raw_value IS NULL OR (j IS NOT NULL AND {event})), false)"
    return f"WITH {images.typed()} {_select(schema)}, after, NULL::VARCHAR[] AS unchanged, {good} AS good FROM typed"


@cache
def full_sql(schema: TableSchema) -> str:
    """The query that decides: typed columns and ``reason``, NULL for a record that belongs into the change log."""
    images = _Images.of(schema)
    unknown = f"list_filter(after_names, lambda name: name NOT IN {_tuple(c.name for c in schema.columns)})"
    key_problems = f"CASE WHEN key_row IS NOT NULL THEN {images.key.problems()} ELSE '' END" if schema.key else "''"
    of_key, of_image = _key_reasons(schema, images) if schema.key else (_ROW_ID_REASONS, "")
    return f"""
    WITH {images.typed()}, checked AS (
        SELECT *, {key_problems} AS key_problems,
            CASE WHEN before IS NOT NULL THEN {images.before.problems()} ELSE '' END AS before_problems,
            CASE WHEN after IS NOT NULL THEN {images.after.problems()} ELSE '' END AS after_problems
        FROM typed
    )
    {_select(schema)}, {images.after.sent()} AS after, {images.after.unchanged()} AS unchanged,
        CASE
            WHEN raw_value IS NULL AND raw_key IS NULL THEN 'key and value are null'
            WHEN raw_value IS NOT NULL AND value_text IS NULL THEN 'value is not UTF-8'
            WHEN raw_value IS NOT NULL AND j IS NULL THEN 'value is not JSON'
            WHEN raw_value IS NOT NULL AND value_kind <> 'OBJECT' THEN 'value is not a change event'
            WHEN raw_value IS NOT NULL AND v[{_OP}] IS NULL THEN 'op is missing'
            WHEN raw_value IS NOT NULL AND op NOT IN ('c', 'u', 'd', 'r', 't') THEN 'op is ' || op
            WHEN raw_value IS NOT NULL AND lsn IS NULL THEN {literal(dialect_of(schema).position_problem)}
            WHEN raw_value IS NOT NULL AND commit_ts IS NULL THEN 'source.ts_us is missing or no integer'
            WHEN op IN ('c', 'u', 'd', 't') AND tx IS NULL THEN 'source.txId is missing or no integer'
            WHEN op = 't' THEN NULL{of_key}
            WHEN op IN ('c', 'u', 'r') AND after IS NULL THEN 'after is missing'
            WHEN len({unknown}) > 0 THEN 'after has unknown columns: ' || array_to_string({unknown}, ', ')
            WHEN after_problems <> '' THEN after_problems
            WHEN before_problems <> '' THEN before_problems{of_image}
        END AS reason
    FROM checked"""


def _key_reasons(schema: TableSchema, images: _Images) -> tuple[str, str]:
    """Cases of `full_sql` for a message key that is wrong, and for an image that has another key."""
    of_key = f"""
            WHEN raw_key IS NULL THEN 'key is null'
            WHEN key_row IS NULL THEN 'key is not a JSON object'
            WHEN key_problems <> '' THEN key_problems
            WHEN len(key_names) <> {len(schema.key)} THEN 'key has other columns: ' || array_to_string(key_names, ', ')
            WHEN op = '{TOMBSTONE}' THEN NULL"""
    of_image = f"""
            WHEN after IS NOT NULL AND NOT ({images.key_of_after()}) THEN 'key differs from the after image'"""
    return of_key, of_image


_TX_ID = widen_sql("tx", "$reference::BIGINT")
_ROW_ID_REASONS = f"""
            WHEN op = '{TOMBSTONE}' THEN 'value is null, in a table without a key'
            WHEN op IN ('u', 'd') THEN 'op is ' || op || ', and a table without a key can only take inserts'
            WHEN key_row IS NULL THEN 'transaction.total_order is missing or no integer'"""
"""Cases of `full_sql` of a table without a key. Its message key says nothing: Debezium may make one of any index."""


def _select(schema: TableSchema) -> str:
    return f"""
    SELECT op, CASE WHEN op <> 't' THEN key_row END AS "key", before, lsn,
        CASE WHEN op <> 'r' THEN {_TX_ID} END AS tx_id, {"NULL::BIGINT" if schema.key else "tx_order"} AS tx_order,
        CASE WHEN op <> '{TOMBSTONE}' THEN op = 'r' END AS snapshot, commit_ts::TIMESTAMPTZ AS commit_ts,
        event_ts::TIMESTAMPTZ AS event_ts, kafka_partition, kafka_offset, kafka_ts, $batch::BIGINT AS batch_id,
        topic, raw_key, raw_value"""


@dataclass(frozen=True)
class _Images:
    """Message key, before and after image of one table's events, and the paths of their columns."""

    schema: TableSchema
    key: _Image
    before: _Image
    after: _Image

    @classmethod
    def of(cls, schema: TableSchema) -> _Images:
        first = _POSITION + len(dialect_of(schema).position_paths) + (not schema.key)
        return cls(
            schema,
            key=_Image("key_row", schema.key, "kv", "kt", 1),
            before=_Image("before", schema.columns, "v", "t", first),
            after=_Image("after", schema.columns, "v", "t", first + len(schema.columns)),
        )

    def key_of_after(self) -> str:
        names = map(identifier, self.schema.key_names)
        return " AND ".join(f"key_row.{name} IS NOT DISTINCT FROM after.{name}" for name in names)

    def identity(self, tx_order: str) -> str:
        """SQL of ``key_row``, and of ``tx_order`` where there is no key: the identity of the event takes its place.

        Args:
            tx_order: SQL of the text of the event's number in its transaction.
        """
        if self.schema.key:
            return f"CASE WHEN key_kind = 'OBJECT' THEN {self.key.struct()} END AS key_row"
        tx_id, number = map(identifier, ROW_ID)
        return f"""TRY_CAST({tx_order} AS BIGINT) AS tx_order,
                CASE
                    WHEN op = 'r' THEN struct_pack({tx_id} := (-1 - kafka_partition)::BIGINT, {number} := kafka_offset)
                    WHEN op = 'c' AND tx IS NOT NULL AND tx_order IS NOT NULL
                        THEN struct_pack({tx_id} := {_TX_ID}, {number} := tx_order)
                END AS key_row"""

    def typed(self) -> str:
        """SQL of the common table expressions up to ``typed``."""
        columns, key, dialect = self.schema.columns, _list(_paths(None, self.schema.key)), dialect_of(self.schema)
        tx_order_path = () if self.schema.key else (dialect.tx_order_path,)
        envelope = (*_ENVELOPE, dialect.tx_id_path, *dialect.position_paths, *tx_order_path)
        paths = _list([*envelope, *_paths("before", columns), *_paths("after", columns)])
        texts = [f"v[{place}]" for place in range(_POSITION, _POSITION + len(dialect.position_paths))]
        return f"""text AS (
            SELECT "key" AS raw_key, "value" AS raw_value, topic, "partition" AS kafka_partition,
                "offset" AS kafka_offset, "timestamp"::TIMESTAMPTZ AS kafka_ts,
                TRY(decode("key")) AS key_text, TRY(decode("value")) AS value_text
            FROM records
        ), json AS (
            SELECT *, CASE WHEN json_valid(key_text) THEN key_text END AS k,
                CASE WHEN json_valid(value_text) THEN value_text END AS j
            FROM text
        ), fields AS (
            SELECT *, json_extract_string(j, {paths}) AS v, json_type(j, {paths}) AS t,
                json_extract_string(k, {key}) AS kv, json_type(k, {key}) AS kt, json_keys(k) AS key_names,
                json_keys(j, '$.after') AS after_names, json_type(k) AS key_kind, json_type(j) AS value_kind
            FROM json
        ), typed AS (
            SELECT *, coalesce(v[{_OP}], '{TOMBSTONE}') AS op, {dialect.position_sql(texts)} AS lsn,
                TRY_CAST(v[{_TX}] AS BIGINT) AS tx,
                TRY(make_timestamp(TRY_CAST(v[{_COMMIT_TS}] AS BIGINT))) AS commit_ts,
                TRY(make_timestamp(TRY_CAST(v[{_EVENT_TS}] AS BIGINT))) AS event_ts,
                {self.identity(f"v[{len(envelope)}]")},
                CASE WHEN t[{_BEFORE}] = 'OBJECT' THEN {self.before.struct()} END AS before,
                CASE WHEN t[{_AFTER}] = 'OBJECT' THEN {self.after.struct()} END AS after
            FROM fields
        )"""


def _paths(image: str | None, columns: Sequence[Column]) -> list[str]:
    prefix = "$" if image is None else f"$.{image}"
    return [f"{prefix}.{_json_name(column.name)}" for column in columns]


def _json_name(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _searched(schema: TableSchema) -> tuple[str, ...]:
    """Texts to search a record for: one of them is in it when a value was not sent. The fewer, the faster."""
    text, binary, _, numbers = _UNCHANGED
    return (text, binary, *([numbers] if any("ARRAY" in rule_for(c).json_types for c in schema.columns) else []))


def _unsent(value: str) -> str:
    """SQL that is true for a value that was not sent because it did not change."""
    return f"coalesce({value} IN {_tuple(_UNCHANGED)}, false)"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(literal, texts))}]::VARCHAR[]"


def _tuple(texts: Iterable[str]) -> str:
    return f"({', '.join(map(literal, texts))})"
