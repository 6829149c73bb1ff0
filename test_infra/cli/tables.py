"""Tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from test_infra.base.redaction import redact

GOOD = "green"
BAD = "bold red"
MOST_ROWS = 20
DOCUMENT_PRINTED = "test_infra.document_printed"
"""In a click context: stdout has its JSON document."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, red: Iterable[int] = ()) -> None:
    """Print rows under a heading; those whose index is in ``red`` stand out. A log file gets one line a row."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    standing_out = set(red)
    shown = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, row in enumerate(rows):
        shown.add_row(*(Text(redact(cell), style=BAD if index in standing_out else "") for cell in row))
    # Without a terminal, rows must not be wrapped.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240).print(shown)


def differing(subject: str, rows: Sequence[Mapping[str, str]], *, all_of_them: str) -> None:
    """Print the rows in which ``subject`` differs, the first ones when they are many."""
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print(f"{redact(subject)}:")
    table(columns, [[_first_line(row.get(column, "")) for column in columns] for row in rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        print(f"  ... and {len(rows) - MOST_ROWS} more in {all_of_them}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def verdict_line(text: str, *, green: bool) -> None:
    """Print the verdict of a command, its last line."""
    from rich.console import Console
    from rich.text import Text

    Console(file=sys.stdout, soft_wrap=True).print(Text(redact(text), style=GOOD if green else BAD))


def error(what: str, text: str) -> None:
    """Print an error whole, under what it stopped."""
    verdict_line(f"{what}:", green=False)
    for line in redact(text.strip()).splitlines():
        print(f"  {line}")


def as_json(document: Any) -> None:
    """One JSON document, and nothing else, on stdout."""
    json_text(json.dumps(redact.document(document), indent=2, allow_nan=False))


def json_text(text: str) -> None:
    """A document that is JSON already, and was redacted before it was."""
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta[DOCUMENT_PRINTED] = True
    sys.stdout.write(f"{text}\n")
