"""Reads a driver's log as one sequence of bytes across its rotated files."""

from __future__ import annotations

import re
from pathlib import Path


def read_log(path: Path, offset: int, size_bytes: int) -> bytes:
    """Up to ``size_bytes`` from a byte offset of everything that was logged; empty beyond the end.

    Args:
        path: the current file; older ones beside it end in ``.1`` (the newest of them), ``.2`` and so on.
        offset: bytes since the beginning of the log. An offset means the same byte until an old file is deleted.
        size_bytes: most bytes to return.
    """
    found = b""
    for file in _oldest_first(path):
        try:
            with file.open("rb") as log:
                length = log.seek(0, 2)
                if offset < length:
                    log.seek(offset)
                    found += log.read(size_bytes - len(found))
        except FileNotFoundError:
            continue
        offset = max(0, offset - length)
        if len(found) >= size_bytes:
            break
    return found


def whole_lines(chunk: bytes, *, most_bytes: int, final: bool) -> bytes:
    """The chunk up to its last line break, so that no character and no secret is cut in two.

    Args:
        chunk: bytes from the beginning of a line.
        most_bytes: size that was asked for; a longer line comes in pieces.
        final: nothing more will be logged, so the last line may lack its line break.
    """
    if final and len(chunk) < most_bytes:
        return chunk
    end = chunk.rfind(b"\n") + 1
    if end == 0:
        return chunk if len(chunk) >= most_bytes else b""
    return chunk[:end]


def _oldest_first(path: Path) -> list[Path]:
    numbers = [
        int(match[1])
        for other in path.parent.glob(f"{path.name}.*")
        if (match := re.fullmatch(rf"{re.escape(path.name)}\.(\d+)", other.name))
    ]
    return [*(path.with_name(f"{path.name}.{number}") for number in sorted(numbers, reverse=True)), path]
