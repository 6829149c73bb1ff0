"""The few operators and functions of PostgreSQL that conditions on rows are made of, on Python's values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any


class NotUnderstood(Exception):
    """An expression, or a part of one, whose value cannot be told here."""


_TEXTS = ("text", "character varying", "varchar", "character", "bpchar", "char", "name", "citext")
_POSIX = {
    "alpha": "A-Za-z", "digit": "0-9", "alnum": "A-Za-z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s",
    "xdigit": "0-9A-Fa-f", "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip


def cast(value: object, kind: str) -> object:  # noqa: PLR0911 - one case for each type
    """A value as another type, where Python has it.

    Raises:
        NotUnderstood: it has not, or the value is none of the type.
    """
    base = kind.strip('"')
    try:
        if base in _TEXTS:
            return value if isinstance(value, str) else str(value)
        if base in ("smallint", "integer", "bigint", "int", "int2", "int4", "int8"):
            return int(str(value))
        if base in ("numeric", "double precision", "real"):
            return Decimal(str(value))
        if base == "date":
            return dt.date.fromisoformat(str(value))
        if base.startswith("timestamp"):
            return dt.datetime.fromisoformat(str(value))
        if base == "boolean":
            return (
                value if isinstance(value, bool) else {"true": True, "t": True, "false": False, "f": False}[str(value)]
            )
    except (ValueError, InvalidOperation, KeyError):
        raise NotUnderstood(f"{value!r} as {kind}") from None
    # An enum, or another type whose value is its text.
    if isinstance(value, str):
        return value
    raise NotUnderstood(kind)


def compare(operator: str, left: object, right: object) -> bool:
    """A comparison of two values that are not NULL.

    Raises:
        NotUnderstood: Python cannot compare them as PostgreSQL does.
    """
    if "~" in operator:
        return _matches(operator, left, right)
    left, right = _alike(left, right)
    if operator == "=":
        return bool(left == right)
    if operator == "<>":
        return bool(left != right)
    if isinstance(left, str):
        # How texts are ordered is the collation's business.
        raise NotUnderstood(operator)
    first: Any = left
    try:
        if operator == "<":
            return bool(first < right)
        if operator == "<=":
            return bool(first <= right)
        return bool(first > right if operator == ">" else first >= right)
    except (TypeError, InvalidOperation):
        raise NotUnderstood(operator) from None


def apply(name: str, values: Sequence[Any]) -> object:
    """A function of values of which none is NULL.

    Raises:
        NotUnderstood: it is not known here, or not with these values.
    """
    known = _FUNCTIONS.get(name)
    if known is None:
        raise NotUnderstood(name)
    try:
        return known(*values)
    except NotUnderstood:
        raise
    except Exception:
        raise NotUnderstood(name) from None


def python_regex(pattern: str) -> str:
    """A regular expression of PostgreSQL as Python reads it, for all that both have."""
    spelled = re.sub(r"\[:(\w+):\]", lambda found: _POSIX.get(found[1], found[0]), pattern)
    return re.sub(r"(?<!\\)\$$", r"\\Z", spelled)


def like_regex(pattern: str) -> str:
    """A pattern of LIKE as a regular expression of the whole value."""
    signs = {"%": ".*", "_": "."}
    pieces = re.findall(r"\\.|.", pattern, flags=re.DOTALL)
    return "".join(re.escape(piece[-1]) if len(piece) > 1 else signs.get(piece, re.escape(piece)) for piece in pieces)


def _matches(operator: str, value: object, pattern: object) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        raise NotUnderstood(operator)
    flags = re.IGNORECASE if operator.endswith("*") else 0
    try:
        if "~~" in operator:
            found = re.fullmatch(like_regex(pattern), value, flags | re.DOTALL)
        else:
            found = re.search(python_regex(pattern), value, flags)
    except re.error:
        raise NotUnderstood(pattern) from None
    return (found is not None) is not operator.startswith("!")


def _alike(left: object, right: object) -> tuple[object, object]:
    """Both as what can be compared: numbers as decimals, moments with or without their zone alike."""
    numbers = (int, float, Decimal)
    if isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, numbers) and isinstance(right, numbers):
        return Decimal(str(left)), Decimal(str(right))
    elif isinstance(left, numbers) or isinstance(right, numbers):
        raise NotUnderstood("a number and something else")
    if isinstance(left, dt.datetime) and isinstance(right, dt.datetime):
        if (left.tzinfo is None) != (right.tzinfo is None):
            return left.replace(tzinfo=None), right.replace(tzinfo=None)
    elif isinstance(left, dt.date) and isinstance(right, dt.date):
        days = [one.date() if isinstance(one, dt.datetime) else one for one in (left, right)]
        return days[0], days[1]
    elif type(left) is not type(right):
        raise NotUnderstood("two types")
    return left, right


def _text_length(value: object) -> int:
    if not isinstance(value, str):
        raise NotUnderstood("length")
    return len(value)


def _divided(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        return int(left / right)
    return Decimal(str(left)) / Decimal(str(right))


def _number(value: Any) -> Any:
    return value if isinstance(value, int) else Decimal(str(value))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda value: not value,
    "is true": lambda value: value is True,
    "is false": lambda value: value is False,
    "cast": cast,
    "negative": lambda value: -value,
    "+": lambda left, right: _number(left) + _number(right),
    "-": lambda left, right: _number(left) - _number(right),
    "*": lambda left, right: _number(left) * _number(right),
    "/": _divided,
    "%": lambda left, right: abs(left) % abs(right) * (1 if left >= 0 else -1),
    "||": lambda left, right: f"{left}{right}",
    "abs": abs,
    "length": _text_length,
    "char_length": _text_length,
    "character_length": _text_length,
    "octet_length": lambda value: len(value.encode() if isinstance(value, str) else value),
    "lower": lambda value: value.lower(),
    "upper": lambda value: value.upper(),
    "btrim": lambda value: value.strip(" "),
    "ltrim": lambda value: value.lstrip(" "),
    "rtrim": lambda value: value.rstrip(" "),
    "now": lambda: dt.datetime.now(dt.UTC),
    "current_timestamp": lambda: dt.datetime.now(dt.UTC),
    "localtimestamp": lambda: dt.datetime.now(dt.UTC).replace(tzinfo=None),
    "current_date": lambda: dt.datetime.now(dt.UTC).date(),
}
