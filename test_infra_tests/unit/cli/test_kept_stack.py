"""A stack ends with its run, unless it is kept; and it is not kept when the run was cut short."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from test_infra.cli.progress import Progress
from test_infra.cli.runs import _stack_of_this_run
from test_infra.stack import StackFolders, StackNotRunning
from test_infra.stack.lease import live_leases

TTL_S = 3_600.0


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was ended; at first nothing runs."""
    done: list[str] = []
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    monkeypatch.setenv("TEST_INFRA_STACK", "kept")
    monkeypatch.setenv("TEST_INFRA_LEASE", "")
    # First: it makes the module take the true `attach`, not the one that is planted below.
    monkeypatch.setattr("test_infra.cdc.pipeline.withdraw.withdraw", list)
    monkeypatch.setattr("test_infra.stack.down", lambda: done.append("kept"))
    runs(monkeypatch, running=False)
    return done


def runs(monkeypatch: pytest.MonkeyPatch, *, running: bool) -> None:
    def attach() -> SimpleNamespace:
        if not running:
            raise StackNotRunning("stack kept is not running")
        return SimpleNamespace(id="kept")

    monkeypatch.setattr("test_infra.stack.attach", attach)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def start() -> None:
        StackFolders("kept").leases.mkdir(parents=True)
        runs(monkeypatch, running=True)

    return start


def test_a_stack_that_is_not_kept_ends_with_its_run(ended: list[str], starts: Callable[[], None]) -> None:
    with _stack_of_this_run(Progress()) as stack:
        starts()
    assert ended == ["kept"]
    assert stack.words() == []


def test_a_kept_stack_has_a_lease_and_the_words_that_end_it(ended: list[str], starts: Callable[[], None]) -> None:
    with _stack_of_this_run(Progress()) as stack:
        starts()
        stack.keep(TTL_S)
    assert ended == []
    assert len(list(live_leases(StackFolders("kept").leases, now=time.time()))) == 1
    assert "  end it: test-infra down" in stack.words()
    assert "ends by itself in 60 min" in stack.words()[0]


def test_a_run_that_is_cut_short_after_it_asked_to_keep_ends_its_stack(
    ended: list[str], starts: Callable[[], None]
) -> None:
    with pytest.raises(RuntimeError), _stack_of_this_run(Progress()) as stack:  # noqa: PT012 - the block is the run
        starts()
        stack.keep(TTL_S)
        raise RuntimeError("no report")
    assert ended == ["kept"]


def test_where_no_stack_came_up_nothing_is_kept_and_nothing_is_said(ended: list[str]) -> None:
    with _stack_of_this_run(Progress()) as stack:
        stack.keep(TTL_S)
    assert ended == ["kept"]
    assert stack.words() == []


def test_a_stack_that_ran_before_runs_on_as_long_as_it_would_have(ended: list[str], starts: Callable[[], None]) -> None:
    starts()
    with _stack_of_this_run(Progress()) as stack:
        stack.keep(TTL_S)
    assert ended == []
    assert list(live_leases(StackFolders("kept").leases, now=time.time())) == []
    assert stack.words() == []
