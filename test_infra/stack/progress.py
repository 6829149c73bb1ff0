"""What `up` tells its caller while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class UpProgress:
    """One thing that `up` does now.

    Args:
        service: which service, or ``stack``.
        text: what happens to it.
    """

    service: str
    text: str


OnUpProgress = Callable[[UpProgress], None]
