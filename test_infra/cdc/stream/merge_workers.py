"""A few threads that do the merges of all mirrors: with a thread for each table, a hundred tables had thousands."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable

LEAST_WORKERS = 8
"""Enough that a few large merges do not keep small tables waiting, on a machine of two cores as well."""


def workers_for(tables: int) -> int:
    """How many threads a pipeline of so many tables gets for one kind of work."""
    return max(1, min(tables, max(LEAST_WORKERS, os.cpu_count() or 1)))


class MergeWorkers:
    """Calls what it is given when it is due, the longest due first.

    Args:
        count: threads.
    """

    def __init__(self, count: int) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"merge {number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def call(self, work: Callable[[], None], at: float) -> None:
        """Have something called once, by one of the threads.

        Args:
            work: must not raise.
            at: not before this time of the monotonic clock.
        """
        with self._changed:
            heapq.heappush(self._due, (at, next(self._numbers), work))
            self._changed.notify()

    def close(self) -> None:
        """End the threads when what they do now is done; what is due later is never called."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is due next; None when there will be nothing any more."""
        with self._changed:
            while not self._closed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    _, _, work = heapq.heappop(self._due)
                    # Whoever was woken for it may have been this thread, which is at work now.
                    self._changed.notify()
                    return work
                self._changed.wait(wait_s)
        return None
