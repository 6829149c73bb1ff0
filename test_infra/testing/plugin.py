"""Pytest plugin: fixtures for tests against a running stack. Use it with ``-p test_infra.testing.plugin``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from test_infra.base.errors import UsageError
from test_infra.base.paths import write_private
from test_infra.suites.spec import PIPELINE_VARIABLE, PLANNED_VARIABLE
from test_infra.testing.pipeline import PipelineHandle

if TYPE_CHECKING:
    from test_infra.stack import Stack


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down which tests there are, before the first one runs: pytest-reportlog only reports tests that ran."""
    planned = os.environ.pop(PLANNED_VARIABLE, None)  # not for a pytest that a test starts
    if planned:
        write_private(Path(planned), "".join(json.dumps(item.nodeid) + "\n" for item in session.items))


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
