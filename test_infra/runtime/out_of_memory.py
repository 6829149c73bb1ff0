"""Whether a JVM ended because its heap was full: it then exits with 3, as it would for other reasons, and says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

EXIT_CODE = 3
"""Of ``-XX:+ExitOnOutOfMemoryError``."""
LAST_BYTES = 64 * 1024
_SAID = re.compile(rb"Terminating due to (java\.lang\.OutOfMemoryError[^\r\n]{0,100})")


def cause(argv: Sequence[str], exit_code: int, log: Path) -> str:
    """What the JVM said, and how large its heap is; empty for an end of another kind.

    Args:
        argv: program and arguments.
        exit_code: with which it ended.
        log: its output, already whole.
    """
    if exit_code != EXIT_CODE:
        return ""
    try:
        with log.open("rb") as output:
            output.seek(0, 2)
            output.seek(max(0, output.tell() - LAST_BYTES))
            said = _SAID.findall(output.read())
    except OSError:
        return ""
    if not said:
        return ""
    heap = next((option.removeprefix("-Xmx") for option in argv if option.startswith("-Xmx")), "")
    words: str = said[-1].decode(errors="replace")
    return f"{words}, with a heap of {heap}" if heap else words
