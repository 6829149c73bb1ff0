"""What the captured tables are, generation after generation: the stream follows the DDL of its source.

An event says which columns its row had when it was written, and nothing of what DDL did to the rows without one. So the
source's catalogue is asked: now and then, and as soon as an event is not what the newest generation is. A generation is
written down before the lake is given its columns; a start after a crash goes on from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from test_infra.base.document import Document
from test_infra.base.paths import write_private
from test_infra.cdc.types import UnsupportedColumn, check_supported
from test_infra.cdc.types.generation import Generation, moves_rows, not_followed, prepared_as, succeeding

if TYPE_CHECKING:
    from test_infra.cdc.types.table import TableSchema

DOCUMENT = "generations.json"

log = logging.getLogger("test_infra.stream")


class Catalogue(Protocol):
    """The part of a source that tells what its tables are."""

    def generations(self) -> dict[str, Generation]:
        """Label -> what a table is now; not those that cannot be captured any more."""

    def fingerprint(self) -> str:
        """A text that is another one after DDL on one of the tables."""


class Generations(Document):
    """Label -> what a table was and is, the oldest first."""

    tables: dict[str, tuple[Generation, ...]] = {}


class Follower:
    """The generations of a pipeline's tables. Threads may ask at the same time.

    Args:
        catalogue: of the source.
        folder: of the lake; the generations are written down there.
        tables: as they were when the pipeline was prepared.

    Raises:
        InfrastructureError: a table is not known yet, and the source does not answer.
    """

    def __init__(self, catalogue: Catalogue, folder: Path, tables: Collection[TableSchema]) -> None:
        self._catalogue = catalogue
        self._path = folder / DOCUMENT
        self._lock = threading.Lock()
        self._fingerprint = ""
        self._said: set[str] = set()
        self._tables: dict[str, tuple[Generation, ...]] = {}
        if self._path.exists():
            self._tables = dict(Generations.model_validate_json(self._path.read_bytes()).tables)
        if unknown := [table for table in tables if table.label not in self._tables]:
            now = catalogue.generations()
            self._write({table.label: _first(table, now[table.label]) for table in unknown if table.label in now})

    def of(self, label: str) -> tuple[Generation, ...]:
        """The generations of a table, the newest last; none of a table that is not followed."""
        return self._tables.get(label, ())

    def look(self) -> list[str]:
        """Ask the catalogue; returns the labels of tables that have a new generation since the last look.

        Raises:
            InfrastructureError: the source does not answer.
        """
        with self._lock:
            fingerprint = self._catalogue.fingerprint()
            if fingerprint == self._fingerprint:
                return []
            found = self._catalogue.generations()
            fresh = {label: one for label, now in found.items() if (one := self._next(label, now)) is not None}
            if fresh:
                self._write({label: (*self.of(label), one) for label, one in fresh.items()})
            self._fingerprint = fingerprint
            return list(fresh)

    def _next(self, label: str, now: Generation) -> Generation | None:
        """The generation after the known ones; None when there is none, or none that can be followed."""
        known = self.of(label)
        if not known or now.is_like(known[-1]):
            return None
        faults = [fault for old in known for fault in not_followed(old, now)]
        try:
            check_supported(now.table)
        except UnsupportedColumn as error:
            faults.append(error.what)
        if faults:
            self._say(f"the columns of {label} are not followed: {'; '.join(dict.fromkeys(faults))}")
            return None
        return succeeding(known[-1], now)

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _write(self, fresh: Mapping[str, tuple[Generation, ...]]) -> None:
        self._tables = {**self._tables, **fresh}
        write_private(self._path, Generations(tables=self._tables).model_dump_json(indent=1))


def _first(prepared: TableSchema, now: Generation) -> tuple[Generation, ...]:
    """The generations that are known at a first start: DDL may have come between, and records from before it."""
    began = prepared_as(prepared, now)
    if not moves_rows(began, now):
        return (now,)
    return (began,) if not_followed(began, now) else (began, succeeding(began, now))


def recorded(folder: Path) -> dict[str, tuple[Generation, ...]]:
    """What a stream has written down below a lake; empty when it follows nothing."""
    try:
        return Generations.model_validate_json((folder / DOCUMENT).read_bytes()).tables
    except FileNotFoundError:
        return {}
