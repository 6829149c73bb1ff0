"""How names are written into the configuration of a Debezium connector."""

from __future__ import annotations

import re
from collections.abc import Iterable


def unreadable(name: str) -> str:
    """What is in the name of a schema or table that Debezium 3.7 reads as another name; empty when nothing is.

    It writes a streamed table's name in double quotes and reads it back (``TableId.toDoubleQuotedString``,
    ``TableIdParser``): a quote at either end is not doubled, and doubled single quotes and backticks become one.
    """
    if name.startswith('"') or name.endswith('"'):
        return 'a double quote (") at an end'
    return next((f"two {what} in a row ({text})" for text, what in _HALVED.items() if text in name), "")


_HALVED = {"''": "single quotes", "``": "backticks"}


def exact(*parts: str) -> str:
    r"""The regular expression that matches one ``schema.table`` or ``schema.table.column``, and nothing else.

    Debezium matches without regard to case, splits its lists at commas and trims what is between them. ``(?-i)`` gives
    case its meaning back, and every character that could be read otherwise is written by its number.
    """
    return "(?-i)" + r"\.".join(map(_by_number, parts))


def key_columns(schema: str, table: str, columns: Iterable[str]) -> str:
    """An element of ``message.key.columns``: these columns of one table are the key of its messages, and no others.

    Debezium puts a dot between table and column, and matches the result like a column.
    """
    return f"{exact(schema, table)}:{','.join(map(_by_number, columns))}"


def _by_number(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", lambda found: rf"\x{{{ord(found[0]):x}}}", name)
