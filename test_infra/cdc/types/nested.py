"""What a DuckDB type is made of: the element of a list, the fields of a struct, as data."""

from __future__ import annotations

from functools import cache

_LIST = "[]"
_STRUCT = "STRUCT("


@cache
def element_of(duckdb: str) -> str | None:
    """The type of a list's elements; None for a type that is no list.

    Args:
        duckdb: a type as DuckDB writes it, such as ``INTEGER[]``.
    """
    return duckdb.removesuffix(_LIST) if duckdb.endswith(_LIST) else None


@cache
def fields_of(duckdb: str) -> tuple[tuple[str, str], ...]:
    """Name, unquoted, and type of each field of a struct, in order; empty for a type that is no struct.

    Args:
        duckdb: a type as DuckDB writes it, such as ``STRUCT(x DOUBLE, "a b" DECIMAL(12,2))``.
    """
    if not (duckdb.startswith(_STRUCT) and duckdb.endswith(")")):
        return ()
    return tuple(map(_name_and_type, _split(duckdb[len(_STRUCT) : -1])))


def _split(listed: str) -> list[str]:
    """Parts between the commas that stand in no parentheses and in no quotes."""
    parts, begin, depth, quoted = [], 0, 0, False
    for place, sign in enumerate(listed):
        if sign == '"':
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(sign, 0)
            if sign == "," and depth == 0:
                parts.append(listed[begin:place])
                begin = place + 1
    return [part.strip() for part in (*parts, listed[begin:])]


def _name_and_type(field: str) -> tuple[str, str]:
    if not field.startswith('"'):
        name, _, kind = field.partition(" ")
        return name, kind
    # A quote inside the name is written twice.
    end = 1
    while field[end] != '"' or field[end + 1 : end + 2] == '"':
        end += 2 if field[end] == '"' else 1
    return field[1:end].replace('""', '"'), field[end + 1 :].strip()
