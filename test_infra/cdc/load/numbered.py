"""Values that never come twice: one for each number, for keys and for unique columns."""

from __future__ import annotations

import datetime as dt
import math
import re
import string
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from test_infra.base.errors import UsageError
from test_infra.cdc.load.domains import NO_LIMITS, Domain
from test_infra.cdc.load.patterns import NoSuchPattern, Pattern
from test_infra.cdc.load.values import BITS, EPOCH, FREE_SCALE, SPAN_US, kind_of, limits
from test_infra.cdc.types.table import Column

_DIGITS = string.digits + string.ascii_lowercase
_PREFIXED_LENGTH = 12
"""A text of at least so many characters has room for a letter before its number."""
_TRIES = 200


class NoMoreValues(Exception):
    """Every value that a column can have is taken."""


@dataclass(frozen=True)
class Numbered:
    """Another value for each number from 0.

    Args:
        make: the value of a number; raises `NoMoreValues` where none is left.
        capacity: how many there are.
    """

    make: Callable[[int], object]
    capacity: int = sys.maxsize

    def __call__(self, number: int) -> object:
        """The value of a number."""
        if number >= self.capacity:
            raise NoMoreValues
        return self.make(number)


def numbered(  # noqa: C901, PLR0911, PLR0912 - one case for each type, and no more in it
    column: Column, domain: Domain = NO_LIMITS
) -> Numbered:
    """Another value of a column for each number.

    Raises:
        UsageError: there is no way to count through the type.
    """
    if domain.choices is not None:
        return _listed(domain.choices)
    kind, size, scale = kind_of(column)
    if kind in ("text", "char"):
        return _texts(domain, kind, size)
    first, last = _counted(column, domain) if _is_counted(kind) else (0, 0)
    match kind:
        case "smallint" | "integer" | "bigint":
            return Numbered(lambda number: first + number, last - first + 1)
        case "numeric":
            if domain.low is not None and domain.high is not None:
                least, most = limits(column, domain)
                places = scale if size else FREE_SCALE
                return Numbered(lambda number: Decimal(least + number).scaleb(-places), most - least + 1)
            if not size or scale <= 0:
                return Numbered(lambda number: Decimal(first + number), last - first + 1)
            exponent = Decimal(1).scaleb(-scale)
            return Numbered(lambda number: Decimal(first + number).quantize(exponent), last - first + 1)
        case "real" | "double precision":
            low, high = limits(column, domain) if domain.bounded else (-1, 2**24)
            return Numbered(
                lambda number: float(math.floor(low) + 1 + number), max(0, math.ceil(high) - math.floor(low) - 1)
            )
        case "boolean":
            return Numbered(bool, 2)
        case "uuid":
            return Numbered(lambda number: uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        case "date":
            return Numbered(lambda number: EPOCH.date() + dt.timedelta(days=first + number), last - first + 1)
        case "timestamp" | "timestamptz":
            zero = EPOCH.replace(tzinfo=dt.UTC) if kind == "timestamptz" else EPOCH
            return Numbered(lambda number: zero + dt.timedelta(seconds=first + number), last - first + 1)
        case "bytea":
            return Numbered(lambda number: number.to_bytes(8, "big"))
        case "inet" | "cidr":
            return Numbered(lambda number: ".".join(map(str, (10, *number.to_bytes(3, "big")))), 1 << 24)
        case "macaddr":
            return Numbered(lambda number: number.to_bytes(6, "big").hex(":"), 1 << 48)
    if kind.startswith("enum("):
        return _listed([label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", kind)])
    raise UsageError(
        f"the load cannot make keys for column {column.name} of type {column.type}",
        hint="set `load: null` and let the pipeline have traffic of its own",
    )


def _is_counted(kind: str) -> bool:
    return kind in BITS or kind in ("numeric", "date", "timestamp", "timestamptz")


def _counted(column: Column, domain: Domain) -> tuple[int, int]:
    """First and last whole number, day or second."""
    kind, size, scale = kind_of(column)
    low, high = limits(column, domain)
    if kind == "numeric":
        unit = 10 ** (scale if size else 2)
        low, high = math.ceil(low / unit) if domain.low is not None else 0, high // unit
    elif kind in ("timestamp", "timestamptz"):
        low, high = -(-low // 1_000_000), high // 1_000_000
    if domain.low is None and domain.high is None and kind in ("date", "timestamp", "timestamptz"):
        return 0, SPAN_US // 1_000_000 if kind != "date" else 2_000_000
    # Where only one end is limited, the other one is the type's own.
    if domain.high is None and kind in BITS:
        high = (1 << (BITS[kind] - 1)) - 1
    return (low if domain.low is not None else (0 if high >= 0 else low)), high


def _listed(values: object) -> Numbered:
    listed = tuple(dict.fromkeys(values))  # type: ignore[call-overload]
    return Numbered(lambda number: listed[number], len(listed))


def _texts(domain: Domain, kind: str, size: int) -> Numbered:
    longest = min((length for length in (domain.longest, size or None) if length), default=0)
    if domain.pattern:
        return _patterned(domain)
    if kind == "char":
        # As PostgreSQL gives it back: with its blanks.
        return Numbered(lambda number: _base36(number).rjust(domain.shortest, "0").ljust(size), 36 ** (longest or size))
    if longest and longest < _PREFIXED_LENGTH:
        return Numbered(lambda number: _base36(number).rjust(domain.shortest, "0"), 36**longest)
    return Numbered(lambda number: f"k{number}".ljust(domain.shortest, "x"))


def _patterned(domain: Domain) -> Numbered:
    """Texts of a pattern; the writers' are apart because each number has its own, and none comes twice."""
    try:
        pattern = Pattern(domain.pattern)
    except NoSuchPattern:
        return Numbered(lambda number: f"k{number}".ljust(domain.shortest, "x"))
    owner: dict[str, int] = {}
    made: list[str] = []

    def make(number: int) -> str:
        # Counted from 0 in every process, so that a number has the same value everywhere.
        while len(made) <= number:
            place = len(made)
            for attempt in range(_TRIES):
                random = Random(f"{domain.pattern}/{place}/{attempt}")  # noqa: S311 - a workload, no secret
                text = pattern.text(random)[: domain.longest or None]
                if text not in owner:
                    owner[text] = place
                    made.append(text)
                    break
            else:
                raise NoMoreValues
        return made[number]

    return Numbered(make)


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits
