"""The text of Java properties files."""

from __future__ import annotations

from collections.abc import Mapping

import javaproperties


def properties_text(properties: Mapping[str, object]) -> str:
    r"""The text from which Java's ``Properties.load`` reads exactly these names and values, in this order.

    Spaces, separators, comment characters and line breaks are escaped. Everything outside ASCII is written as
    ``\uXXXX``, so it does not matter in which encoding a program reads the file.
    """
    texts = {name: str(value) for name, value in properties.items()}
    return javaproperties.dumps(texts, timestamp=None, ensure_ascii=True)
