"""Which table of the source is meant, and how somebody writes that."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from test_infra.base.errors import UsageError

_PART = r'(?:"(?:[^"]|"")+"|[^."]+)'
_NAME = re.compile(rf"\s*({_PART})(?:\.({_PART}))?\s*")
_READ_OTHERWISE = re.compile(r'[."*?]|^\s|\s$')
_SAFE = re.compile(r"[a-z0-9][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)?")
_MOST_READABLE = 60
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(10))}
"""Names that Windows keeps for devices, whatever comes after a dot."""


@dataclass(frozen=True)
class TableId:
    """A table of the source.

    Args:
        schema: unquoted.
        name: unquoted.
        label: what the pipeline calls it, unique there; everything is keyed by it.
    """

    schema: str
    name: str
    label: str

    @property
    def qualified(self) -> str:
        """``schema.name``, quoted where it must be, for people."""
        return f"{_written(self.schema)}.{_written(self.name)}"


@dataclass(frozen=True)
class CapturedTable:
    """A table that a pipeline captures, and which part of it.

    Args:
        id: which table.
        excluded: columns that are left out.
        where: condition for the rows that are captured, in the source's SQL; empty: all rows.
    """

    id: TableId
    excluded: tuple[str, ...] = ()
    where: str = ""


def table_id(schema: str, name: str, default_schema: str) -> TableId:
    """A table by its unquoted names.

    Args:
        schema: of the table.
        name: of the table.
        default_schema: schema of the names that are written without one.
    """
    label = _written(name) if schema == default_schema else f"{_written(schema)}.{_written(name)}"
    return TableId(schema, name, label)


def parse_table(text: str, default_schema: str) -> TableId:
    """The table that somebody wrote: ``orders``, ``sales.orders``, ``sales."order.lines"``.

    A dot separates schema and table; in double quotes it is part of the name, and a double quote is written twice.
    Upper and lower case count with and without quotes.

    Raises:
        UsageError: it is no name of a table; the message names the character.
    """
    *schema, name = (_unquoted(part) for part in split_name(text))
    return table_id(schema[0] if schema else default_schema, name, default_schema)


def split_name(text: str) -> tuple[str, ...]:
    """The parts of a written name, one or two, with their double quotes and without blanks around them.

    Raises:
        UsageError: it is no name of a table; the message names the character.
    """
    found = _NAME.fullmatch(text)
    parts = tuple(part.strip() for part in found.groups() if part is not None) if found else ()
    if not all(parts) or not parts:
        raise UsageError(
            f"{text!r} is no name of a table: {_fault(text)}",
            hint='write table, schema.table, or in double quotes what has a dot or a quote in it: sales."order.lines"',
        )
    return parts


def safe_name(label: str) -> str:
    """A table's name for folders and relations, safe on every disk and for every reader; never that of another table.

    Lower-case names are as they are. Others are written with what is safe, and told apart by a hash: a disk and DuckDB
    may not tell upper from lower case, ``..`` leads elsewhere, readers take ``%`` for an escape and hide what begins
    with ``_``.
    """
    if _SAFE.fullmatch(label) and label.partition(".")[0] not in _RESERVED:
        return label
    readable = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:_MOST_READABLE]
    return f"{readable or 'table'}-{hashlib.sha256(label.encode()).hexdigest()[:12]}"


def _fault(text: str) -> str:
    unquoted = re.sub(r'"(?:[^"]|"")+"', "q", text)
    if not text.strip():
        return "it is empty"
    if '"' in unquoted:
        return 'a double quote (") without its partner'
    if unquoted.count(".") > 1:
        return "more than one dot (.) outside of double quotes"
    if '"' in text and not re.search(r"^\s*\.|\.\s*$", unquoted):
        return 'a double quote (") in the middle of a name'
    return "nothing stands before or after the dot (.)"


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _written(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if _READ_OTHERWISE.search(part) else part
