"""A record that is larger than Kafka may take: whose it is, and how large."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.stack.services.kafka import LARGEST_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_REFUSED = re.compile(r"The message is (\d+) bytes when serialized which is larger than (\d+)")
_BY_THE_BROKER = "RecordTooLargeException"
_TOPIC = re.compile(r"failed to send record to (\S+?):")
LAST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class TooLarge:
    """A record that was not sent.

    Args:
        topic: it was for; empty when nothing tells.
        size_bytes: of the record; None when only the broker knows.
        most_bytes: that were allowed.
    """

    topic: str
    size_bytes: int | None
    most_bytes: int

    @property
    def what(self) -> str:
        """In words."""
        size = f"{self.size_bytes:,} bytes" if self.size_bytes is not None else "more bytes than the broker takes"
        where = f" for topic {self.topic}" if self.topic else ""
        return f"a change event{where} has {size}, and at most {self.most_bytes:,} are sent"


HINT = (
    "leave the column or the table out; an event has the row as it is, with REPLICA IDENTITY FULL also as it was, and "
    "bytea as base64 (a third more)"
)


def too_large(traces: Iterable[str], log: Path | None) -> TooLarge | None:
    """The record that ended a task; None when it ended for another reason.

    Args:
        traces: of the connector and its tasks.
        log: of Kafka Connect, the only one that names the topic; None where it cannot be read.
    """
    text = "\n".join(traces)
    if _BY_THE_BROKER not in text:
        return None
    found = _REFUSED.search(text)
    size, most = (int(found[1]), int(found[2])) if found else (None, LARGEST_MESSAGE_BYTES)
    return TooLarge(_topic(log), size, most)


def _topic(log: Path | None) -> str:
    if log is None:
        return ""
    try:
        with log.open("rb") as written:
            written.seek(0, 2)
            written.seek(max(0, written.tell() - LAST_BYTES))
            named = _TOPIC.findall(written.read().decode(errors="replace"))
    except OSError:
        return ""
    return named[-1] if named else ""
