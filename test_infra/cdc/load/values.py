"""Random values for any column, typed as PostgreSQL wants them."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from test_infra.base.errors import UsageError
from test_infra.cdc.load.domains import NO_LIMITS, Domain
from test_infra.cdc.load.edges import array_of, edges_of
from test_infra.cdc.load.patterns import NoSuchPattern, Pattern
from test_infra.cdc.types.table import Column

NULL_SHARE = 0.1
EDGE_SHARE = 0.1
LONGEST_TEXT = 60
EPOCH = dt.datetime(1901, 1, 1)  # noqa: DTZ001 - of a column without a time zone
SPAN_US = 300 * 365 * 86_400 * 1_000_000
BITS = {"smallint": 16, "integer": 32, "bigint": 64}
FREE_SCALE = 2
"""Decimals of a number whose type has no scale, where it has limits."""
ONE_SIDED = 1_000_000
"""How far values go from the only limit that they have, in the smallest units of their type."""
# What has broken pipelines before: quotes, separators, escapes, words that look like something else, other alphabets.
PIECES = (
    "", "a", "null", "NULL", "\\N", "true", "0", "-0", "1e5", "NaN", "it's", '"quoted"', "back\\slash", "tab\there",
    "line\nbreak", "carriage\rreturn", "comma, semicolon;", "{brace}", "[bracket]", "$dollar", "%percent",
    "ß", "Ünïcödé",
    "日本語", "العربية", "🦆", "e\u0301", "\u200b", " leading", "trailing ", "\u007f",
)  # fmt: skip
FLOATS = (0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 0.1, 1 / 3)

Make = Callable[[Random], object]


@dataclass(frozen=True)
class SqlValue:
    """A value that the source computes from an expression."""

    sql: str


def maker(column: Column, domain: Domain = NO_LIMITS) -> Make:
    """A function that makes a random value of the column, NULL now and then where it may be.

    Args:
        column: its type decides.
        domain: limits within the type.

    Raises:
        UsageError: no values can be made for the type.
    """
    make = _limited(column, domain) if domain.bounded else _mixed(column)
    if not column.nullable:
        return make
    return lambda random: None if random.random() < NULL_SHARE else make(random)


def comparable_maker(column: Column, domain: Domain) -> Make:
    """As `maker`, of values that conditions on several columns can be judged by: none at the far edges of time."""
    kind = kind_of(column)[0]
    if domain.bounded or kind not in ("date", "timestamp", "timestamptz"):
        return maker(column, domain)
    make = _maker(column)
    return lambda random: None if column.nullable and random.random() < NULL_SHARE else make(random)


def _limited(column: Column, domain: Domain) -> Make:  # noqa: PLR0911 - one case for each type
    """Values of the type within its limits."""
    if domain.sql:
        computed = SqlValue(domain.sql)
        return lambda _: computed
    if domain.choices is not None:
        choices = domain.choices or (None,)
        return lambda random: random.choice(choices)
    kind, size, scale = kind_of(column)
    if kind in ("text", "char"):
        return _text_within(domain, size)
    if domain.low is None and domain.high is None:
        return _mixed(column)
    first, last = limits(column, domain)
    match kind:
        case "smallint" | "integer" | "bigint":
            return lambda random: _near_an_end(random, first, last)
        case "numeric":
            places = scale if size else FREE_SCALE
            return lambda random: Decimal(_near_an_end(random, first, last)).scaleb(-places)
        case "real" | "double precision":
            return lambda random: random.uniform(first, last)
        case "date":
            return lambda random: EPOCH.date() + dt.timedelta(days=_near_an_end(random, first, last))
        case "timestamp" | "timestamptz":
            zero = EPOCH.replace(tzinfo=dt.UTC) if kind == "timestamptz" else EPOCH
            return lambda random: zero + dt.timedelta(microseconds=_near_an_end(random, first, last))
    return _mixed(column)


def limits(column: Column, domain: Domain) -> tuple[int, int]:
    """Lowest and highest value of a type that is counted: of decimals in units of their last place, of dates in days
    and of timestamps in microseconds since 1901.
    """
    kind, size, scale = kind_of(column)
    if kind in ("real", "double precision"):
        low = -1_000_000 if domain.low is None else _as_float(domain.low)
        high = low + 1_000_000 if domain.high is None else _as_float(domain.high)
        return low, high  # type: ignore[return-value]
    unit = _unit(kind, scale if size else FREE_SCALE)
    least, most = _widest(kind, size)
    # With one limit only, values stay near it: what is far away hits the limits of other columns.
    if domain.low is not None:
        low = unit(domain.low, math.ceil)
        least = max(least, low + domain.beyond[0] if low == unit(domain.low, math.floor) else low)
        most = most if domain.high is not None else min(most, least + ONE_SIDED)
    if domain.high is not None:
        high = unit(domain.high, math.floor)
        most = min(most, high - domain.beyond[1] if high == unit(domain.high, math.ceil) else high)
        least = least if domain.low is not None else max(least, most - ONE_SIDED)
    return least, most


def _widest(kind: str, size: int) -> tuple[int, int]:
    if kind in BITS:
        return -(1 << (BITS[kind] - 1)), (1 << (BITS[kind] - 1)) - 1
    if kind == "numeric":
        largest = 10 ** (size or 20) - 1
        return -largest, largest
    return (0, 300 * 365) if kind == "date" else (0, SPAN_US)


def _unit(kind: str, places: int) -> Callable[[object, Callable[[Decimal], int]], int]:
    def of(value: object, rounded: Callable[[Decimal], int]) -> int:
        if isinstance(value, dt.datetime) and kind != "date":
            return round((value.replace(tzinfo=None) - EPOCH) / dt.timedelta(microseconds=1))
        if isinstance(value, dt.date):
            days = (dt.date(value.year, value.month, value.day) - EPOCH.date()).days
            return days if kind == "date" else days * 86_400_000_000
        return rounded(Decimal(str(value)).scaleb(places if kind == "numeric" else 0))

    return of


def _as_float(value: object) -> float:
    return float(str(value))


def _near_an_end(random: Random, first: int, last: int) -> int:
    """A number between two, and one of the two now and then."""
    if last <= first:
        return first
    return random.choice((first, last)) if random.random() < EDGE_SHARE else random.randint(first, last)


def _text_within(domain: Domain, size: int) -> Make:
    longest = min(length for length in (domain.longest, size or None, LONGEST_TEXT + domain.shortest) if length)
    if domain.pattern:
        try:
            pattern = Pattern(domain.pattern)
        except NoSuchPattern:
            pass  # the source says by name what it refuses
        else:
            return lambda random: pattern.text(random)[: domain.longest or None]
    return lambda random: _text(random).ljust(domain.shortest, "x")[:longest]


def _mixed(column: Column) -> Make:
    """Values of the type, at its edges now and then, or at its edges only where nothing else is known of it."""
    declared = _declared(column)
    if declared.endswith("[]"):
        return array_of(maker(Column(column.name, declared.removesuffix("[]"))))
    kind, size, _ = kind_of(column)
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
    kind, size, scale = kind_of(column)
    match kind:
        case "smallint" | "integer" | "bigint":
            bits = BITS[kind]
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
        hint="say what it may hold under `load: values:`, or set `load: null`: it has traffic of its own",
    )


def kind_of(column: Column) -> tuple[str, int, int]:  # noqa: PLR0911 - one case for each family
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
