"""Spark's checkpoint of a stream, read without Spark: whether it is whole, and how far the stream is.

Spark keeps one file per micro-batch in ``offsets`` (written before it is run) and in ``commits`` (after it).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STREAM_ID_FILE = "test_infra_stream_id"
_VERSION = "v1"
MOST_LOOKS = 20
"""At a checkpoint that goes on each time."""


class CheckpointDamaged(Exception):
    """A file of the checkpoint is missing or cannot be read; the message names it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of its stream.

    Args:
        stream_id: made with the checkpoint; empty before its first start.
        planned: newest micro-batch that was begun; -1 before the first.
        committed: newest micro-batch that was ended; -1 before the first.
        ends: topic -> partition -> end offset that the ended micro-batches have read.
        topics: topics of the newest micro-batch that was begun.
    """

    stream_id: str
    planned: int = -1
    committed: int = -1
    ends: dict[str, dict[int, int]] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()


def read_checkpoint(folder: Path) -> Checkpoint:
    """What the checkpoint says. One that was never used is empty.

    Spark adds and removes files while this reads: what does not fit together is read again where it has gone on.

    Raises:
        CheckpointDamaged: a file is missing or cannot be read.
    """
    for _ in range(MOST_LOOKS):
        batches = _all_batches(folder)
        try:
            return _read(folder, *batches)
        except (FileNotFoundError, CheckpointDamaged):
            if _all_batches(folder) == batches:
                raise
    return _read(folder, *_all_batches(folder))


def _all_batches(folder: Path) -> tuple[list[int], list[int]]:
    return _batches(folder / "offsets"), _batches(folder / "commits")


def _read(folder: Path, offsets: list[int], commits: list[int]) -> Checkpoint:
    stream_id = existing_stream_id(folder)
    if not offsets:
        if commits:
            raise CheckpointDamaged(f"{folder / 'offsets'} is empty, but micro-batch {max(commits)} was committed")
        return Checkpoint(stream_id)
    if not stream_id:
        raise CheckpointDamaged(f"{folder / STREAM_ID_FILE} is missing")
    _json(folder / "metadata", (folder / "metadata").read_text() if (folder / "metadata").is_file() else "")
    planned, committed = max(offsets), max(commits, default=-1)
    for kind, numbers in (("offsets", offsets), ("commits", commits)):
        if missing := set(range(min(numbers, default=0), max(numbers, default=-1) + 1)) - set(numbers):
            raise CheckpointDamaged(f"{folder / kind / str(min(missing))} is missing")
    # Spark begins no micro-batch before the one before it is committed.
    if not planned - 1 <= committed <= planned:
        newer, older = ("offsets", planned) if committed < planned else ("commits", committed)
        raise CheckpointDamaged(f"{folder / newer} ends at micro-batch {older}, the other at {min(planned, committed)}")
    read = {number: _offsets(folder / "offsets" / str(number)) for number in offsets}
    for number in commits:
        _lines(folder / "commits" / str(number), 1)
    return Checkpoint(
        stream_id, planned, committed, read.get(committed, {}) if committed >= 0 else {}, frozenset(read[planned])
    )


def existing_stream_id(folder: Path) -> str:
    """The id that lives and dies with the checkpoint; empty when it has none yet.

    Raises:
        CheckpointDamaged: the file is there and holds no id.
    """
    path = folder / STREAM_ID_FILE
    if not path.exists():
        return ""
    found = path.read_text().strip()
    if not found:
        raise CheckpointDamaged(f"{path} is empty")
    return found


def make_stream_id(folder: Path) -> str:
    """The checkpoint's id, made when it has none."""
    if known := existing_stream_id(folder):
        return known
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, made = folder / STREAM_ID_FILE, uuid.uuid4().hex
    path.write_text(made)
    return made


def _batches(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit()) if folder.is_dir() else []


def _offsets(path: Path) -> dict[str, dict[int, int]]:
    """Topic -> partition -> offset, of the stream's one source."""
    _, source = _lines(path, 2)
    try:
        return {topic: {int(part): int(end) for part, end in ends.items()} for topic, ends in source.items()}
    except (AttributeError, ValueError, TypeError) as error:
        raise CheckpointDamaged(f"{path} holds no Kafka offsets") from error


def _lines(path: Path, documents: int) -> list[Any]:
    version, *lines = path.read_text().splitlines() or [""]
    if version != _VERSION or len(lines) != documents:
        raise CheckpointDamaged(f"{path} is cut off: {len(lines)} of {documents} documents after {version[:10]!r}")
    return [_json(path, line) for line in lines]


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CheckpointDamaged(f"{path} is no JSON: {text[:40]!r}") from error
