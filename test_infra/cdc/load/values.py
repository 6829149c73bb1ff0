"""Random values for any column, and keys that never come twice, typed as PostgreSQL wants them."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from random import Random

from test_infra.base.errors import UsageError
from test_infra.cdc.load.edges import array_of, edges_of
from test_infra.cdc.types.table import Column

NULL_SHARE = 0.1
EDGE_SHARE = 0.1
LONGEST_TEXT = 60
EPOCH = dt.datetime(1901, 1, 1)  # noqa: DTZ001 - of a column without a time zone
SPAN_US = 300 * 365 * 86_400 * 1_000_000
# What has broken pipelines before: quotes, separators, escapes, words that look like something else, other alphabets.
PIECES = (
    "", "a", "null", "NULL", "\\N", "true", "0", "-0", "1e5", "NaN", "it's", '"quoted"', "back\\slash", "tab\there",
    "line\nbreak", "carriage\rreturn", "comma, semicolon;", "{brace}", "[bracket]", "$dollar", "%percent",
    "ß", "Ünïcödé",
    "日本語", "العربية", "🦆", "e\u0301", "\u200b", " leading", "trailing ", "\u007f",
)  # fmt: skip
FLOATS = (0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 0.1, 1 / 3)

Make = Callable[[Random], object]
Number = Callable[[int], object]


def maker(column: Column) -> Make:
    """A function that makes a random value of the column, NULL now and then where it may be.

    Raises:
        UsageError: no values can be made for the type.
    """
    make = _mixed(column)
    if not column.nullable:
        return make
    return lambda random: None if random.random() < NULL_SHARE else make(random)


def key_maker(column: Column) -> Number:  # noqa: PLR0911 - one case for each type
    """A function that makes another key value of each number, from 0.

    Raises:
        UsageError: no keys can be made for the type.
    """
    match _kind(column):
        case ("smallint" | "integer" | "bigint" | "numeric", _, _):
            return lambda number: number
        case ("text", length, _):
            return lambda number: f"k{number}"[:length] if length else f"k{number}"
        case ("char", length, _):
            return lambda number: str(number).ljust(length)
        case ("uuid", _, _):
            return lambda number: uuid.uuid5(uuid.NAMESPACE_OID, str(number))
        case ("date", _, _):
            return lambda number: EPOCH.date() + dt.timedelta(days=number)
        case ("timestamp", _, _):
            return lambda number: EPOCH + dt.timedelta(seconds=number)
        case ("timestamptz", _, _):
            return lambda number: EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(seconds=number)
        case ("bytea", _, _):
            return lambda number: number.to_bytes(8, "big")
    raise UsageError(
        f"the load cannot make keys for column {column.name} of type {column.type}",
        hint="set `load: null` and let the pipeline have traffic of its own",
    )


def _mixed(column: Column) -> Make:
    """Values of the type, at its edges now and then, or at its edges only where nothing else is known of it."""
    declared = _declared(column)
    if declared.endswith("[]"):
        return array_of(maker(Column(column.name, declared.removesuffix("[]"))))
    kind, size, _ = _kind(column)
    edges = None if kind == "numeric" and size else edges_of(kind)
    if edges is None:
        return _maker(column)
    if kind not in ("date", "timestamp", "timestamptz"):
        return edges
    make = _maker(column)
    return lambda random: edges(random) if random.random() < EDGE_SHARE else make(random)


def _declared(column: Column) -> str:
    base = column.base or column.type
    return base if base.startswith("enum(") else " ".join(base.lower().split())


def _maker(column: Column) -> Make:  # noqa: C901, PLR0911 - one case for each type, and no more in it
    kind, size, scale = _kind(column)
    match kind:
        case "smallint" | "integer" | "bigint":
            bits = {"smallint": 16, "integer": 32, "bigint": 64}[kind]
            return lambda random: random.getrandbits(bits) - (1 << (bits - 1))
        case "numeric":
            largest = 10**size - 1
            return lambda random: Decimal(random.randint(-largest, largest)).scaleb(-scale)
        case "real" | "double precision":
            spread = 1e6 if kind == "real" else 1e12
            return lambda random: (
                random.choice(FLOATS[:5] if kind == "real" else FLOATS)
                if random.random() < 0.1
                else random.uniform(-spread, spread)
            )
        case "boolean":
            return lambda random: random.random() < 0.5
        case "text":
            return lambda random: _text(random)[: size or LONGEST_TEXT]
        case "char":
            return lambda random: f"{random.getrandbits(32):x}"[:size]
        case "uuid":
            return lambda random: uuid.UUID(int=random.getrandbits(128))
        case "date":
            return lambda random: EPOCH.date() + dt.timedelta(days=random.randrange(300 * 365))
        case "timestamp":
            return lambda random: EPOCH + dt.timedelta(microseconds=random.randrange(SPAN_US))
        case "timestamptz":
            return lambda random: EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(microseconds=random.randrange(SPAN_US))
        case "json":
            return _json
        case "bytea":
            return lambda random: random.randbytes(random.randrange(48))
    raise UsageError(
        f"the load cannot make values for column {column.name} of type {column.type}",
        hint="set `load: null` and let the pipeline have traffic of its own",
    )


def _kind(column: Column) -> tuple[str, int, int]:  # noqa: PLR0911 - one case for each family
    """The family of a type with its length or precision (0: none), and its scale."""
    declared = _declared(column)
    if sized := re.fullmatch(r"(?:numeric|decimal)\((\d+)(?:,(-?\d+))?\)", declared):
        return ("numeric", int(sized[1]), int(sized[2] or 0))
    if sized := re.fullmatch(r"(?:character varying|varchar)(?:\((\d+)\))?|text", declared):
        return ("text", int(sized[1] or 0), 0)
    if sized := re.fullmatch(r"(?:character|char|bpchar)(?:\((\d+)\))?", declared):
        return ("char", int(sized[1] or 1), 0)
    if re.fullmatch(r"timestamp(?:\(\d\))? with time zone|timestamptz(?:\(\d\))?", declared):
        return ("timestamptz", 0, 0)
    if re.fullmatch(r"timestamp(?:\(\d\))?(?: without time zone)?", declared):
        return ("timestamp", 0, 0)
    if re.fullmatch(r"time(?:\(\d\))?(?: without time zone)?", declared):
        return ("time", 0, 0)
    if declared.startswith("interval"):
        return ("interval", 0, 0)
    return ("json" if declared in ("json", "jsonb") else declared, 0, 0)


def _text(random: Random) -> str:
    return f"{random.choice(PIECES)}{random.choice(PIECES)}{random.getrandbits(32):x}"


def _json(random: Random) -> str:
    document = {
        "text": _text(random),
        "number": random.getrandbits(40),
        "fraction": random.getrandbits(20) / 1_024,
        "nested": {"list": [None, True, random.choice(PIECES)], "empty": {}},
    }
    return json.dumps(document, ensure_ascii=random.random() < 0.5)
