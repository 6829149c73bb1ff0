"""Rules of dates, times and intervals, infinities included.

Infinite values are kept as a value that no finite one takes; a finite value on that place or beyond it is refused.
"""

from __future__ import annotations

from test_infra.cdc.types.rule import TypeRule, no_exact_form
from test_infra.cdc.types.scalars import INTEGER_JSON, STRING_JSON

FIRST_DAY = -2_440_588
"""The first day of PostgreSQL, 4714-11-24 BC, in days since 1970."""
FUTURE_DAY = 95_026_236
"""``date 'infinity'`` in Delta, in days since 1970: 262142-12-31, the last day that delta-rs can hold."""
PAST_DAY = -96_464_927
"""``date '-infinity'`` in Delta: 262143-01-01 BC; PostgreSQL has no days so early."""
FIRST_US = FIRST_DAY * 86_400_000_000
FUTURE_US = 2**63 - 1
"""``timestamp 'infinity'`` in Delta, and DuckDB's own, in microseconds since 1970."""
PAST_US = -(2**63 - 1)
"""``timestamp '-infinity'`` in Delta, and DuckDB's own."""

# What a driver makes of infinity: the stream's, and the snapshot's by way of java.sql.Date.
_DEBEZIUM_FUTURE_DAYS = (2_146_033_979, -622_191_234)
_DEBEZIUM_PAST_DAYS = (-2_147_472_691, -625_821_272)
# ADBC moves the epoch from 2000 to 1970 and lets the infinities wrap around.
_ADBC_FUTURE_DAY, _ADBC_PAST_DAY = -2_147_472_692, -2_147_472_691
_ADBC_FUTURE_US, _ADBC_PAST_US = -9_222_425_352_054_775_809, -9_222_425_352_054_775_808

_EPOCH = "DATE '1970-01-01'"


def _day(number: int) -> str:
    return f"{_EPOCH} + ({number})"


def _date_from_debezium(expr: str) -> str:
    days = f"TRY_CAST({expr} AS INTEGER)"
    return f"""CASE WHEN {days} BETWEEN {FIRST_DAY} AND {FUTURE_DAY - 1} THEN {_EPOCH} + {days}
        WHEN {days} IN {_DEBEZIUM_FUTURE_DAYS} THEN {_day(FUTURE_DAY)}
        WHEN {days} IN {_DEBEZIUM_PAST_DAYS} THEN {_day(PAST_DAY)} END"""


def _date_from_source(expr: str) -> str:
    return f"""CASE WHEN {expr} BETWEEN {_day(FIRST_DAY)} AND {_day(FUTURE_DAY - 1)} OR {expr} IS NULL THEN {expr}
        WHEN {expr} - {_EPOCH} = {_ADBC_FUTURE_DAY} THEN {_day(FUTURE_DAY)}
        WHEN {expr} - {_EPOCH} = {_ADBC_PAST_DAY} THEN {_day(PAST_DAY)}
        ELSE {no_exact_form(expr, f"{expr}::VARCHAR")} END"""


def _timestamp_from_debezium(expr: str) -> str:
    us = f"TRY_CAST({expr} AS BIGINT)"
    return f"""CASE WHEN {us} BETWEEN {FIRST_US} AND {FUTURE_US - 1} THEN make_timestamp({us})
        WHEN {us} = {FUTURE_US} THEN TIMESTAMP 'infinity'
        WHEN {us} = {-(2**63)} THEN TIMESTAMP '-infinity' END"""


def _timestamptz_from_debezium(expr: str) -> str:
    # Years beyond 9999 have a sign; a year that does not fit gives NULL.
    return f"TRY_CAST(ltrim({expr}, '+') AS TIMESTAMP WITH TIME ZONE)"


def _moment_from_source(duckdb: str, expr: str) -> str:
    us = f"epoch_us({expr})"
    return f"""CASE WHEN {us} BETWEEN {FIRST_US} AND {FUTURE_US - 1} OR {expr} IS NULL THEN {expr}
        WHEN {us} = {_ADBC_FUTURE_US} THEN CAST('infinity' AS {duckdb})
        WHEN {us} = {_ADBC_PAST_US} THEN CAST('-infinity' AS {duckdb})
        ELSE {no_exact_form(expr, "'a time beyond the year 294247'")} END"""


DATE = TypeRule(
    "DATE",
    INTEGER_JSON,
    _date_from_debezium,
    from_source=_date_from_source,
    form="days since 1970",
    remarks="`infinity` is 262142-12-31 and `-infinity` 262143-01-01 BC; finite days from 262142-12-31 on are "
    "quarantined; Debezium's snapshot (not its stream) writes a day BC as the same day AD, which parity shows as VALUE",
)
TIME = TypeRule(
    "BIGINT",
    INTEGER_JSON,
    lambda expr: f"TRY_CAST({expr} AS BIGINT)",
    lambda quoted: f"(extract(epoch FROM {quoted}) * 1000000)::bigint",
    form="microseconds since midnight",
    remarks="microseconds since midnight, for Delta has no time of day; 24:00 is 86400000000",
)
_BEYOND = (
    "`infinity` is the last microsecond of a 64-bit count (2**63 - 1) and `-infinity` its negative; finite times from "
    "294247-01-10 04:00:54.775807 on"
)
TIMESTAMP = TypeRule(
    "TIMESTAMP",
    INTEGER_JSON,
    _timestamp_from_debezium,
    from_source=lambda expr: _moment_from_source("TIMESTAMP", expr),
    form="microseconds since 1970, also for precision 0 to 3",
    remarks=f"{_BEYOND} arrive from Debezium as `infinity`, and parity is UNKNOWN by the value of the source",
)
TIMESTAMPTZ = TypeRule(
    "TIMESTAMP WITH TIME ZONE",
    STRING_JSON,
    _timestamptz_from_debezium,
    from_source=lambda expr: _moment_from_source("TIMESTAMP WITH TIME ZONE", expr),
    form="ISO 8601 in UTC; `infinity`",
    remarks=f"the instant, in UTC; {_BEYOND} are quarantined",
)

_INTERVAL_FORM = "^P(-?[0-9]+)Y(-?[0-9]+)M(-?[0-9]+)DT(-?[0-9]+)H(-?[0-9]+)M(-?[0-9]+(?:[.][0-9]{1,6})?)S$"


def _interval_from_debezium(expr: str) -> str:
    parts = f"regexp_extract({expr}, '{_INTERVAL_FORM}', ['y', 'mo', 'd', 'h', 'mi', 's'])"
    minutes = f"(CAST({parts}.h AS BIGINT) * 60 + CAST({parts}.mi AS BIGINT))"
    seconds = f"CAST(CAST({parts}.s AS DECIMAL(18,6)) * 1000000 AS BIGINT)"
    return f"""CASE WHEN regexp_matches({expr}, '{_INTERVAL_FORM}') THEN TRY({
        _interval(
            f"CAST({parts}.y AS INTEGER) * 12 + CAST({parts}.mo AS INTEGER)",
            f"CAST({parts}.d AS INTEGER)",
            f"{minutes} * 60000000 + {seconds}",
        )
    }) END"""


def _interval(months: str, days: str, microseconds: str) -> str:
    return (
        f'struct_pack("months" := CAST({months} AS INTEGER), "days" := CAST({days} AS INTEGER), '
        f'"microseconds" := CAST({microseconds} AS BIGINT))'
    )


def _interval_select(quoted: str) -> str:
    months = f"extract(year FROM {quoted}) * 12 + extract(month FROM {quoted})"
    hours = f"extract(hour FROM {quoted}) * 3600000000"
    microseconds = f"{hours} + extract(minute FROM {quoted}) * 60000000 + extract(microseconds FROM {quoted})"
    infinite = f"{2**31 - 1}, {2**31 - 1}, {2**63 - 1}"
    return f"""CASE WHEN isfinite({quoted}) THEN ARRAY[{months}, extract(day FROM {quoted}), {microseconds}]::bigint[]
        WHEN {quoted} > interval '0' THEN ARRAY[{infinite}]::bigint[]
        WHEN {quoted} < interval '0' THEN ARRAY[-{infinite.replace(", ", ", -")}]::bigint[] END"""


INTERVAL = TypeRule(
    'STRUCT("months" INTEGER, "days" INTEGER, "microseconds" BIGINT)',
    STRING_JSON,
    _interval_from_debezium,
    _interval_select,
    lambda expr: f"CASE WHEN {expr} IS NOT NULL THEN {_interval(*(f'{expr}[{place}]' for place in (1, 2, 3)))} END",
    form="ISO 8601 (`interval.handling.mode=string`)",
    remarks="its three parts, which PostgreSQL keeps apart too (`1 month` is not `30 days`); Debezium writes an "
    "infinite interval as zero, which parity shows as VALUE, and fails on more than 2**31 - 1 hours",
)
