"""docs/types.md, made from the table of types: ``python -m test_infra.cdc.types.page docs/types.md``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from test_infra.cdc.types.families import FAMILIES, REFUSED

_HEAD = """\
# Types

Made by `make docs` from the table of types (`test_infra/cdc/types/`); a test fails when it is not current.

Every PostgreSQL type is either **exact** - the value in PostgreSQL, what Debezium writes, the value in Delta and the
comparison of parity are one value - or **refused by name** before anything starts. What Debezium writes was measured
with the stack's own Debezium and PostgreSQL, for the initial snapshot and for the stream, because they differ in
places.

- A domain, also a domain of a domain, has the rule of the type below it; an enum is `enum`.
- Source and lake are compared as typed values. Where the Delta type is string, the value either is a text or has a
  canonical text: two values are equal exactly when their texts are equal. NULL equals NULL and nothing else.
- A value that Delta cannot hold never becomes another value: the record goes to `quarantine` with column and reason,
  which turns the gate `quarantine` red, and while the source holds the value parity is UNKNOWN and names it.
- Where Debezium itself changes a value in silence, nothing behind it can notice; parity compares with the source
  and says VALUE, with key and column. The remarks name these cases.
- Generated columns are not replicated by PostgreSQL. They are left out of snapshot and mirror and named in the
  metadata of the asset `<pipeline>/source/<table>`. Refused: a primary key with one, and REPLICA IDENTITY FULL on a
  table with one (PostgreSQL 18 would refuse every update).
- Unlogged tables are refused.
- A column added later of a type that Debezium does not know is not left out in silence (`include.unknown.datatypes`):
  its records go to `quarantine`.

## Supported

| PostgreSQL | Debezium writes | Delta type | compared as | remarks |
|---|---|---|---|---|
"""
_REFUSED_HEAD = """
## Refused

| PostgreSQL | why |
|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    rows = []
    for family in FAMILIES:
        found = re.fullmatch(family.pattern, family.example)
        assert found is not None
        rule = family.rule(found)
        delta = "decimal(p,s)" if family.name.startswith("numeric(p,s)") else rule.delta
        rows.append(_row(f"`{family.name}`", rule.form, delta, rule.compared, rule.remarks))
    refused = [_row(f"`{types.name}`" if "every" not in types.name else types.name, types.reason) for types in REFUSED]
    return _HEAD + "".join(rows) + _REFUSED_HEAD + "".join(refused)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
