"""A place in PostgreSQL's write-ahead log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Lsn:
    """A log sequence number: the order of all that a server commits.

    Args:
        stored: as the change log stores it, bytes since the beginning of the log.
    """

    stored: int

    def __str__(self) -> str:
        """As PostgreSQL writes it, such as ``0/16B3748``."""
        return f"{self.stored >> 32:X}/{self.stored & 0xFFFFFFFF:X}"


def committed_lsn(offset: Mapping[str, Any] | None) -> Lsn | None:
    """Everything of an earlier LSN is acknowledged by Kafka; None before streaming began.

    During the initial snapshot Connect's offset carries the key ``snapshot`` and an LSN that means something else.

    Args:
        offset: source offset that Kafka Connect has committed; None before the first.
    """
    if offset is None or "snapshot" in offset:
        return None
    known = [int(offset[key]) for key in ("lsn", "lsn_commit") if offset.get(key) is not None]
    return Lsn(max(known)) if known else None
