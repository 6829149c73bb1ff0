"""A home below /tmp for each test module; whatever it started is ended."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra_tests.e2e.shell import Shell


@pytest.fixture(scope="module")
def shell(request: pytest.FixtureRequest, fast_starts: None) -> Iterator[Shell]:
    """Commands with a home and a stack of this test module."""
    home = Path(tempfile.mkdtemp(prefix="ti-"))
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    used = Shell(home, f"e2e-{name}")
    yield used
    used.run("down")
    shutil.rmtree(home, ignore_errors=True)
