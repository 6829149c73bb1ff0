"""Real programs, in a home of their own below /tmp."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE


@pytest.fixture(scope="session")
def test_home(fast_starts: None) -> Iterator[Path]:
    """A TEST_INFRA_HOME that dies with the test session; downloads stay in the user's cache."""
    folder = Path(tempfile.mkdtemp(prefix="ti-"))
    before = os.environ.get(HOME_VARIABLE), os.environ.get(STACK_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder)
    os.environ[STACK_VARIABLE] = "session"
    yield folder
    for name, value in zip((HOME_VARIABLE, STACK_VARIABLE), before, strict=True):
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _in_test_home(test_home: Path) -> None:
    """No integration test touches the user's own stacks."""
