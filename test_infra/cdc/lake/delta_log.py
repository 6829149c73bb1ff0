"""The log of a Delta table, newest version first, read only as far as it is asked for.

On a local disk the log's files are read as they are: looking at the newest version takes 2 ms with hundreds of
versions, opening the table with delta-rs 9 ms and more. Elsewhere delta-rs' ``history`` is asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.cdc.lake.table import TableMissing
from test_infra.cdc.lake.versions import Noted

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from test_infra.cdc.lake.location import Location

LOG = "_delta_log"
DIGITS = 20
"""Of a version in the name of a log file."""
FIRST_PIECE = 8
"""Versions that are asked of a table's history first; each time that more are needed, twice as many."""
COMMITTED_AT = "inCommitTimestamp"


def exists_on_disk(folder: Path) -> bool:
    """Whether a folder holds a Delta table, be it that only checkpoints are left of its log."""
    return any(name[:DIGITS].isdigit() for name in _names(folder))


def of_files(location: Location, folder: Path) -> Iterator[Noted]:
    """Versions whose log file is still there; older ones are in the table's checkpoint, which has no metadata of them.

    A version could be seen from the time on that its commit notes, or else when its log file was written: that is
    Delta's own definition.

    Raises:
        TableMissing: there is no table.
    """
    names = [name for name in _names(folder) if name[:DIGITS].isdigit()]
    if not names:
        raise TableMissing(location)
    for name in sorted((name for name in names if name[DIGITS:] == ".json"), reverse=True):
        path = folder / LOG / name
        info = _commit_info(path)
        noted_ms = info.get(COMMITTED_AT)
        seconds = path.stat().st_mtime_ns / 1e9 if noted_ms is None else int(noted_ms) / 1e3
        yield Noted(int(name[:DIGITS]), datetime.fromtimestamp(seconds, tz=UTC), info)


def of_history(table: DeltaTable) -> Iterator[Noted]:
    """Versions as delta-rs tells them; the time of each is the one that its writer noted."""
    given, piece = 0, FIRST_PIECE
    while True:
        history = table.history(piece)
        for info in history[given:]:
            committed_ms = int(info.get(COMMITTED_AT) or info.get("timestamp") or 0)
            yield Noted(int(info["version"]), datetime.fromtimestamp(committed_ms / 1e3, tz=UTC), info)
        if len(history) < piece:
            return
        given, piece = len(history), piece * 2


def _commit_info(path: Path) -> dict[str, Any]:
    """The ``commitInfo`` action of a log file; empty when it has none."""
    with path.open(encoding="utf-8") as log:
        for line in log:
            if line.startswith('{"commitInfo"'):
                return dict(json.loads(line)["commitInfo"])
    return {}


def _names(folder: Path) -> list[str]:
    try:
        # Three times as fast as a list of paths, and every cut looks here again and again.
        return os.listdir(folder / LOG)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
