"""Taking out of services that stay what a pipeline made in them: connector, replication slot, publication, topics.

A slot that nobody reads keeps the server's WAL, until its disk is full. So it goes before the stack does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from test_infra.base.errors import TestInfraError
from test_infra.cdc.pipeline.connector import topics_of
from test_infra.cdc.pipeline.running import running_pipelines
from test_infra.cdc.pipeline.topics import delete_topics
from test_infra.stack import StackNotRunning, attach
from test_infra.stack.registry import services_of
from test_infra.stack.service import ExternalService

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline


def withdraw(stack_id: str | None = None) -> list[str]:
    """Leave external services as they were before the pipelines of a stack. Done again, it changes nothing.

    Args:
        stack_id: which stack; None is this checkout's.

    Returns:
        What could not be taken out, in words; empty when all of it was, or all services end with the stack.
    """
    try:
        stack = attach(stack_id)
    except StackNotRunning:
        return []
    external = {name for name, service in services_of(stack.spec).items() if isinstance(service, ExternalService)}
    if not external:
        return []
    return [problem for pipeline in running_pipelines(stack) for problem in _withdrawn(pipeline, external)]


def _withdrawn(pipeline: RunningPipeline, external: set[str]) -> Iterator[str]:
    """Withdraw one pipeline: first what reads, then what it read from."""
    name = pipeline.spec.name
    yield from _tried(f"connector of {name}", lambda: pipeline.connect.delete_and_wait(pipeline.names.connector))
    if pipeline.spec.source.service in external:
        kept = ", ".join(f"{kind} {called}" for kind, called in pipeline.source.names().items())
        yield from _tried(f"{kept} of {name}", pipeline.source.remove_capture)
    if "kafka" in external:
        yield from _tried(f"topics of {name}", lambda: _delete_topics(pipeline))


def _delete_topics(pipeline: RunningPipeline) -> None:
    delete_topics(pipeline.bootstrap, topics_of(pipeline, pipeline.schemas()))


def _tried(what: str, take_out: Callable[[], None]) -> Iterator[str]:
    try:
        take_out()
    except TestInfraError as error:
        yield f"{what} may be left behind: {error.what}"
