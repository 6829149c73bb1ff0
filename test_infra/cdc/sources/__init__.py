"""Source databases, one folder for each kind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from test_infra.cdc.sources.source import CaptureNames, Source
    from test_infra.cdc.types.table_id import CapturedTable
    from test_infra.stack import Endpoint

KINDS = {"postgres": ("test_infra.cdc.sources.postgres.source", "PostgresSource")}
"""Kind of a source -> module and class."""


def source_class(kind: str) -> type[Source]:
    """The class of a kind of source, imported only now."""
    module, name = KINDS[kind]
    found: type[Source] = getattr(import_module(module), name)
    return found


def source_of(kind: str, endpoint: Endpoint, tables: Sequence[CapturedTable], names: CaptureNames) -> Source:
    """A source as one pipeline uses it; opens no connection.

    Args:
        kind: such as ``postgres``.
        endpoint: of the service that holds the tables.
        tables: the captured tables.
        names: by which the source knows the pipeline.
    """
    made: Source = source_class(kind)(endpoint, tables, names)  # type: ignore[call-arg]
    return made
