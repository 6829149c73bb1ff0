"""Every type: each value replaced by its neighbours, in mirror and change log, in and out of the dirty set."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb

from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.differences import Compared, TableParity
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.types import element_of, fields_of, rule_for
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.judge.planted import INVISIBLE, SNAPSHOT, VISIBLE, Planted
from test_infra_tests.unit.cdc.types.type_examples import TYPES

SAMPLES: dict[str, tuple[str, ...]] = {
    "SMALLINT": ("0", "1", "-1", "32767", "-32768"),
    "INTEGER": ("0", "1", "-1", "2147483647", "-2147483648"),
    "BIGINT": ("0", "1", "4294967297", "9223372036854775807", "-9223372036854775808"),
    "FLOAT": ("0.5", "0.50000006", "0", "'-0.0'", "'nan'", "'inf'", "'-inf'", "1e-45"),
    "DOUBLE": ("0.5", "0.5000000000000001", "0", "'-0.0'", "'nan'", "'inf'", "'-inf'", "5e-324"),
    "BOOLEAN": ("true", "false"),
    "VARCHAR": ("''", "' '", "'a'", "'a '", "'A'", "'\u00e4'", "'a\u0308'", "'\U0001f600'"),
    "BLOB": ("''::BLOB", "'\\x00'::BLOB", "'\\x00\\x00'::BLOB", "'a'::BLOB"),
    "DATE": ("'2026-11-21'", "'2026-11-22'", "'0001-01-01'", "'infinity'"),
    "TIMESTAMP": ("'2026-11-21 01:02:03'", "'2026-11-21 01:02:03.000001'", "'0001-01-01'", "'infinity'"),
    "TIMESTAMP WITH TIME ZONE": ("'2026-11-21 01:02:03+00'", "'2026-11-21 01:02:03.000001+00'", "'infinity'"),
}
"""DuckDB type -> SQL of values that differ as little as they can."""

OF_KEY = "WHERE after.id = {key} AND lsn ="
SPOILED_LOG = "UPDATE changes SET after = {{id: {key}, v: {bad}}} " + OF_KEY
SPOILED_MIRROR = "UPDATE mirror SET v = {bad} WHERE id = {key}"
PLACES: dict[str, tuple[str, int, str]] = {
    "mirror, clean key": (SPOILED_MIRROR, 1, Compared.SOURCE_WITH_MIRROR),
    "mirror, dirty key": (SPOILED_MIRROR, 2, Compared.LOG_WITH_MIRROR),
    "change log, clean key": (f"{SPOILED_LOG} 20", 1, Compared.SOURCE_WITH_LOG),
    "change log, dirty key, newest visible event": (f"{SPOILED_LOG} 20", 2, Compared.SOURCE_WITH_LOG),
    "change log, dirty key, newest event": (f"{SPOILED_LOG} 30", 2, Compared.LOG_WITH_MIRROR),
}
"""Where -> SQL that spoils one key, how many events the key has after its first, and which comparison sees it."""


def in_types() -> Iterator[Planted]:
    """Each value of each type replaced by its neighbours, one key each."""
    for name, declared in TYPES.items():
        for place in PLACES:
            planted, found = _found(rule_for(Column("v", declared)).duckdb, declared, place)
            yield Planted(name, place, planted, found)


def _found(duckdb_type: str, declared: str, place: str) -> tuple[int, int]:
    """How many were planted and found; types that are the same in DuckDB are judged by the same SQL, so once."""
    if (duckdb_type, place) not in _KNOWN:
        schema = TableSchema("public", "t", (Column("id", "bigint", False, 1), Column("v", declared)))
        values = samples(duckdb_type)
        neighbours = zip(values, [values[-1], *values], [*values[1:], values[0]], strict=False)
        pairs = list(dict.fromkeys((good, bad) for good, *others in neighbours for bad in others))
        spoil, changes, compared = PLACES[place]
        faults = [spoil.format(key=key, bad=bad) for key, (_, bad) in enumerate(pairs)]
        parity = _judged(schema, [good for good, _ in pairs], changes, faults)
        right = {
            found.key["id"]
            for found in parity.differences
            if (found.verdict, found.column, found.compared) == (Verdict.VALUE, "v", compared)
        }
        _KNOWN[duckdb_type, place] = len(pairs), len(right) if parity.counts == {Verdict.VALUE: len(pairs)} else 0
    return _KNOWN[duckdb_type, place]


_KNOWN: dict[tuple[str, str], tuple[int, int]] = {}


def samples(duckdb_type: str) -> list[str]:
    """Values of a type, as typed SQL; NULL is the first."""
    if element := element_of(duckdb_type):
        one, two, *_ = samples(element)[1:]
        values = ["[]", "[NULL]", f"[{one}]", f"[{two}]", f"[{one}, {two}]", f"[{one}, NULL]"]
    elif sized := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
        most = "9" * (int(sized[1]) - int(sized[2])) or "0"
        values = ["0", f"'1e-{sized[2]}'", f"'-1e-{sized[2]}'", f"'{most}'"]
    elif fields := fields_of(duckdb_type):
        # One row, and one for each field in which only this differs.
        changed = range(-1, len(fields))
        rows = [[samples(kind)[1 + (at == one)] for at, (_, kind) in enumerate(fields)] for one in changed]
        named = [zip((name for name, _ in fields), of_row, strict=True) for of_row in rows]
        values = [f"{{{', '.join(f'{name}: {value}' for name, value in of_row)}}}" for of_row in named]
    else:
        values = list(SAMPLES[duckdb_type])
    return [f"({value})::{duckdb_type}" for value in ("NULL", *values)]


def _judged(schema: TableSchema, values: list[str], changes: int, faults: list[str]) -> TableParity:
    """Keys that were read and changed so many times, the second time invisibly to the same value; then the faults."""
    kind = rule_for(schema.columns[1]).duckdb
    listed = ", ".join(f"({key}, {value})" for key, value in enumerate(values))
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, shape in (("mirror", mirror_schema(schema)), ("changes", changes_schema(schema))):
            connection.register("shape", shape.empty_table())
            connection.execute(f"CREATE TABLE {name} AS FROM shape")
        connection.execute(f"CREATE TABLE source (id BIGINT, v {kind})")
        connection.execute(f"INSERT INTO source VALUES {listed}")
        connection.execute("INSERT INTO mirror BY NAME FROM source")
        for at, (op, tx_id) in enumerate((("r", "NULL"), ("u", VISIBLE), ("u", INVISIBLE))[: changes + 1]):
            connection.execute(
                f"""INSERT INTO changes BY NAME SELECT '{op}' AS op, {{id: id}} AS key, {{id: id, v: v}} AS after,
                {10 + 10 * at} AS lsn, {tx_id} AS tx_id, {op == "r"} AS snapshot, 0 AS kafka_partition,
                10 * id + {at} AS kafka_offset FROM source"""
            )
        sides = Sides("source", "mirror", "changes", SNAPSHOT)
        assert judge(connection, sides, schema).green
        for fault in faults:
            connection.execute(fault)
        return judge(connection, sides, schema)
