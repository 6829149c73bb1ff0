"""How a service is reached without starting anything: in the running stack, or where it was before any stack."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from test_infra.base.deadline import Deadline, wait_for
from test_infra.base.paths import home, private_dir
from test_infra.stack.attached import StackNotRunning, attach
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.registry import services_of
from test_infra.stack.service import ExternalService
from test_infra.stack.spec import StackSpec

ANSWERS_WITHIN_S = 15.0


@contextmanager
def endpoint_now(spec: StackSpec, service: str) -> Iterator[Endpoint]:
    """A service as it can be reached now, for the time of the block; starts nothing.

    Args:
        spec: the stack as the project describes it.
        service: name of one of its services.

    Raises:
        StackNotRunning: the stack would start this service, and it is not up.
        NotReady: the service that is there already does not answer.
    """
    try:
        endpoint = attach().endpoint(service)
    except StackNotRunning as not_running:
        described = services_of(spec).get(service)
        if not isinstance(described, ExternalService):
            raise StackNotRunning(
                f"service {service} is not up, and this command starts nothing",
                details={"seen": not_running.what},
                hint="test-infra up; or name a database that is there already: docs/services.md",
            ) from None
        with tempfile.TemporaryDirectory(dir=private_dir(home())) as secrets:
            yield once_it_answers(described, described.endpoint(Path(secrets)), Deadline(ANSWERS_WITHIN_S))
    else:
        yield endpoint


def once_it_answers(service: ExternalService, endpoint: Endpoint, deadline: Deadline) -> Endpoint:
    """The endpoint of a service that is there already, with its version as it tells it.

    Raises:
        NotReady: it did not answer in time.
    """
    version = wait_for(
        lambda: service.probe(endpoint), deadline, what=service.name, awaited=f"an answer from {endpoint.url}"
    )
    return endpoint.model_copy(update={"version": version})
