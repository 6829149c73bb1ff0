"""A pattern for tables, such as ``sales.*``: which tables it means is known once the source can be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from test_infra.cdc.types.table_id import TableId, parse_table, split_name

_WILD = re.compile(r"[*?]")


@dataclass(frozen=True)
class TablePattern:
    """Tables by the shape of their names.

    Args:
        label: as it was written.
        schema: regular expression of the whole schema's name.
        name: regular expression of the whole table's name.
    """

    label: str
    schema: str
    name: str

    def matches(self, table: TableId) -> bool:
        """Whether the pattern means this table; upper and lower case count."""
        expressions = ((self.schema, table.schema), (self.name, table.name))
        return all(re.fullmatch(expression, text, re.DOTALL) for expression, text in expressions)


def parse_selection(text: str, default_schema: str) -> TableId | TablePattern:
    """What somebody wrote under ``tables:``: a table as in `parse_table`, or a pattern.

    Outside of double quotes ``*`` stands for any characters and ``?`` for one.

    Raises:
        UsageError: it is neither.
    """
    parts = split_name(text)
    if not any(_WILD.search(part) for part in parts if not part.startswith('"')):
        return parse_table(text, default_schema)
    *schema, name = parts
    own = re.escape(default_schema) if not schema else _expression(schema[0])
    return TablePattern(text.strip(), own, _expression(name))


def _expression(part: str) -> str:
    if part.startswith('"'):
        return re.escape(part[1:-1].replace('""', '"'))
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in part)
