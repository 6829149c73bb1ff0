"""Pytest plugin: fixtures for tests against a running stack. Use it with ``-p test_infra.testing.plugin``."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from test_infra.base.errors import UsageError
from test_infra.testing.pipeline import PipelineHandle

if TYPE_CHECKING:
    from test_infra.stack import Stack

PIPELINE_VARIABLE = "TEST_INFRA_PIPELINE"
PARENT_VARIABLE = "TEST_INFRA_SUITE_PARENT"
PLANNED_VARIABLE = "TEST_INFRA_SUITE_PLANNED"
PARENT_LOOK_S = 0.5


def pytest_configure() -> None:
    """A suite's tests end with the process that started the suite, however that one ends."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent:
        threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True, name="end-with-parent").start()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell the suite what there is to run: pytest-reportlog does not."""
    planned = os.environ.get(PLANNED_VARIABLE)
    if planned:
        with Path(planned).open("a") as file:
            file.writelines(json.dumps(item.nodeid) + "\n" for item in session.items)


@pytest.fixture(scope="session")
def stack() -> "Stack":
    """The running stack; none is started."""
    from test_infra.stack import attach

    return attach()


@pytest.fixture(scope="session")
def pipeline(stack: "Stack") -> Iterator[PipelineHandle]:
    """The pipeline named by ``TEST_INFRA_PIPELINE``, as it runs in the stack."""
    name = os.environ.get(PIPELINE_VARIABLE)
    if not name:
        raise UsageError(
            "the fixture `pipeline` needs a pipeline",
            hint=f"set {PIPELINE_VARIABLE}, or `pipeline:` in the suite's YAML",
        )
    with PipelineHandle.attach(stack, name) as handle:
        yield handle


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_S)
    os.killpg(0, signal.SIGKILL)
