"""Interrupts that Python lost are raised again."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from test_infra.base.interrupts import INTERRUPTS, remembered_interrupts


def swallows_an_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_was_swallowed_is_raised_again() -> None:
    with remembered_interrupts() as raise_what_was_lost:
        raise_what_was_lost()
        swallows_an_interrupt()
        with pytest.raises(KeyboardInterrupt):
            raise_what_was_lost()


def test_an_interrupt_ends_the_block_at_once_and_former_handlers_come_back() -> None:
    before = [signal.getsignal(signum) for signum in INTERRUPTS]
    with pytest.raises(KeyboardInterrupt), remembered_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(signum) for signum in INTERRUPTS] == before


def test_what_is_ignored_or_ends_the_process_stays_so() -> None:
    with remembered_interrupts():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def test_outside_the_main_thread_it_changes_nothing() -> None:
    seen = []

    def block() -> None:
        with remembered_interrupts() as raise_what_was_lost:
            raise_what_was_lost()
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [before]
