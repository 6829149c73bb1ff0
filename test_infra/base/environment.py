"""What a process of ours takes over from the environment of whoever starts it."""

from __future__ import annotations

import os

EVERYBODYS = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "XDG_DATA_HOME")
"""What every program of ours may need; the rest of a caller's environment, secrets among it, is not its business."""


def inherited(*further: str) -> dict[str, str]:
    """The variables of `EVERYBODYS`, and the ``further`` ones, as far as they are set here."""
    return {name: os.environ[name] for name in (*EVERYBODYS, *further) if name in os.environ}
