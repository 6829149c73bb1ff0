"""Why a service does not stay up: how often it ended unasked, and what its log says of the last time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from test_infra.base.errors import last_lines
from test_infra.base.redaction import redact
from test_infra.runtime.process import ProcessEvent

_SEARCHED_LINES = 400
_MOST_CHARACTERS = 300
_TELLING = (
    re.compile(r"OutOfMemoryError|insufficient memory|Cannot allocate memory|No space left"),
    re.compile(r"\b(FATAL|PANIC|ERROR)\b|Error:|Exception"),
    re.compile(r"\S"),
)
"""What a line is searched for, the most telling first: after an end the next start writes its own lines below."""


def said_of(service: str, events: Sequence[Mapping[str, object]], log: Path) -> str:
    """In one line how often a service ended unasked, how, and its last words; empty when it did not.

    Args:
        service: its name.
        events: of the stack's processes, oldest first.
        log: of the service.
    """
    of_service = [event for event in events if event.get("service") == service]
    ends = [event for event in of_service if event.get("event") in (ProcessEvent.ENDED, ProcessEvent.OVER_MEMORY_LIMIT)]
    if not ends:
        return ""
    count = sum(event.get("event") == ProcessEvent.ENDED for event in ends)
    detail = str(ends[-1].get("detail"))
    said = [f"{service} ended by itself {'once' if count == 1 else f'{count} times'}, last: {detail}"]
    # The keeper has said why, where it was for want of memory.
    if ":" not in detail and (words := last_words(log)):
        said.append(f"its log: {words}")
    given_up = [event for event in of_service if event.get("event") == ProcessEvent.GIVEN_UP]
    if given_up:
        said.append(f"it is not started again, for {given_up[-1].get('detail')}")
    return "; ".join(said)


def last_words(log: Path) -> str:
    """The most telling of a log's last lines, newest first; empty when there is none."""
    lines = last_lines(log, _SEARCHED_LINES)
    for telling in _TELLING:
        for line in reversed(lines):
            if telling.search(line):
                return redact(" ".join(line.split()))[:_MOST_CHARACTERS]
    return ""
