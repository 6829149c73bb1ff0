"""Waiting for an observed state, with a deadline and the last thing seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tenacity

from test_infra.base.errors import NotReady

T = TypeVar("T")


class StillWaiting(Exception):
    """Raised by an awaited observation: not yet, and this is what was seen instead."""


class Deadline:
    """A time limit, counted on the monotonic clock from now on."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self._started

    @property
    def remaining_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.timeout_s - self.elapsed_s)

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.remaining_s == 0.0

    def within(self, timeout_s: float) -> Deadline:
        """A part of this deadline: at most ``timeout_s``, never beyond the whole."""
        return Deadline(min(timeout_s, self.remaining_s))


def wait_for(
    observe: Callable[[], T],
    deadline: Deadline,
    *,
    what: str,
    awaited: str,
    interval_s: float = 0.05,
    log: Path | None = None,
    hint: str | None = None,
    not_yet: tuple[type[Exception], ...] = (),
) -> T:
    """Call ``observe`` until it returns; it raises `StillWaiting` (or one of ``not_yet``) while the state is not there.

    Any other exception ends the wait at once, for example when a process has died.

    Args:
        observe: returns the awaited thing, or raises.
        deadline: when to give up.
        what: subject of the error, such as ``kafka``.
        awaited: what was awaited, such as ``a metadata answer from 127.0.0.1:41233``.
        interval_s: pause between two calls.
        log: log file whose last lines belong to the error.
        hint: what to try.
        not_yet: further exceptions that mean "not yet".

    Raises:
        NotReady: the deadline passed; it carries what was awaited and what was seen last.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((StillWaiting, *not_yet)),
        stop=lambda _: deadline.expired,
        wait=tenacity.wait_fixed(interval_s),
        reraise=True,
    )
    try:
        return attempts(observe)
    except Exception as last:
        if not isinstance(last, (StillWaiting, *not_yet)):
            raise
        seen = str(last) or type(last).__name__
        raise NotReady(
            f"{what} is not usable after {deadline.elapsed_s:.1f} s",
            details={
                "awaited": awaited,
                "last seen": seen.strip().splitlines()[0] if seen.strip() else "nothing",
            },
            log=log,
            hint=hint,
        ) from last
