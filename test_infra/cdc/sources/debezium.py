"""How names are written into the configuration of a Debezium connector."""

from __future__ import annotations

import re


def exact(*parts: str) -> str:
    r"""The regular expression that matches one ``schema.table`` or ``schema.table.column``, and nothing else.

    Debezium matches without regard to case, splits its lists at commas and trims what is between them. ``(?-i)`` gives
    case its meaning back, and every character that could be read otherwise is written by its number.
    """
    return "(?-i)" + r"\.".join(
        re.sub(r"[^A-Za-z0-9_]", lambda found: rf"\x{{{ord(found[0]):x}}}", part) for part in parts
    )
