"""Interrupts that are not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def remembered_interrupts() -> Iterator[Callable[[], None]]:
    """What this gives raises `KeyboardInterrupt` when one was asked for in the block and did not end it.

    A handler of Python raises wherever the main thread happens to be. Within a destructor, a callback of the garbage
    collector or a library that swallows it, the exception is printed or dropped, and the program goes on (Python's
    documentation of `signal`, "Note on Signal Handlers and Exceptions"). Handlers that were there still do their work.
    """
    asked: list[int] = []

    def remembered(former: Callable[..., Any]) -> Callable[..., Any]:
        def handler(signum: int, frame: Any) -> Any:
            asked.append(signum)
            return former(signum, frame)

        return handler

    def raise_what_was_lost() -> None:
        if asked:
            raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {signum: signal.getsignal(signum) for signum in INTERRUPTS} if in_main_thread else {}
    replaced = {signum: former for signum, former in handlers.items() if callable(former)}
    for signum, former in replaced.items():
        signal.signal(signum, remembered(former))
    try:
        yield raise_what_was_lost
    finally:
        for signum, former in replaced.items():
            signal.signal(signum, former)
