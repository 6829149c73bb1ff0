"""Which environment variables a process of ours inherits."""

from __future__ import annotations

import os

EVERYBODYS = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "XDG_DATA_HOME")
"""What every program of ours may need. Nothing else is inherited: an environment may hold secrets."""


def inherited(*further: str) -> dict[str, str]:
    """The variables of `EVERYBODYS`, and the ``further`` ones, as far as they are set here."""
    return {name: os.environ[name] for name in (*EVERYBODYS, *further) if name in os.environ}
