"""A service inside a container: ``python -m test_infra.stack.serve [PLACE]``; its health: ``... --healthy [PLACE]``.

Prepares the service and becomes its process, with the same functions that the `local` backend uses. A document says
which service it is and where its folders, ports and neighbours are: a file, or the text of ``$TEST_INFRA_PLACE``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from test_infra.base.document import Document
from test_infra.base.errors import TestInfraError, UsageError
from test_infra.base.paths import write_private
from test_infra.stack import registry
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.service import ServicePlace, ServiceSpec
from test_infra.stack.spec import StackSpec

PLACE_VARIABLE = "TEST_INFRA_PLACE"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a container: only its own network and published ports lead there


class Served(Document):
    """The document: one service and its place.

    Args:
        spec: the stack.
        service: which of its services.
        stack_id: the stack.
        config: folder of its configuration files.
        data: folder of its data.
        secrets: folder of the secrets it is given.
        ports: port name -> port, the same inside and outside.
        endpoints: services it depends on, as seen from here.
    """

    spec: StackSpec
    service: str
    stack_id: str
    config: Path
    data: Path
    secrets: Path
    ports: dict[str, int]
    endpoints: dict[str, Endpoint] = {}

    def place(self) -> ServicePlace:
        """Where the service lives."""
        return ServicePlace(
            stack_id=self.stack_id,
            config=self.config,
            data=self.data,
            secrets=self.secrets,
            ports=self.ports,
            endpoints=self.endpoints,
            listen=EVERY_ADDRESS,
            network_name=self.service,
        )

    def known(self) -> ServiceSpec:
        """The service's spec.

        Raises:
            UsageError: the stack has no such service, or it is external.
        """
        service = registry.services_of(self.spec).get(self.service)
        if not isinstance(service, ServiceSpec):
            raise UsageError(f"the stack has no service {self.service!r} to run")
        return service

    def document(self) -> str:
        """As JSON, with the settings of this service and of those it needs, and of no other.

        A package of this machine may have added others. The image does not know them and would refuse their names.
        """
        known = registry.services_of(self.spec)
        needed = [self.service]
        for name in needed:  # grows while it is read: what they need is needed, too
            needed += [other for other in known[name].depends_on if other not in needed]
        others = {name for name, _ in self.spec.services if name not in needed}
        return self.model_dump_json(exclude={"spec": {"services": others}})


def write(served: Served, path: Path) -> None:
    """Write the document for the container."""
    write_private(path, served.document())


def main(argv: list[str]) -> int:
    """Serve, or say whether the service in this container is healthy."""
    arguments = [argument for argument in argv if argument != "--healthy"]
    try:
        document = Path(arguments[0]).read_text() if arguments else os.environ.get(PLACE_VARIABLE, "")
        if not document:
            raise UsageError("nothing says what to serve", details={"looked in": f"arguments, {PLACE_VARIABLE}"})
        served = Served.model_validate_json(document)
        if "--healthy" in argv:
            return _healthy(served)
        _become(served)
    except TestInfraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _become(served: Served) -> None:
    """Prepare the service, then become its process."""
    service, place = served.known(), served.place()
    place.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    service.prepare(place)
    command = service.command(place)
    os.chdir(place.data)
    os.execve(command.argv[0], command.argv, dict(command.env))  # noqa: S606 - no shell is the point


def _healthy(served: Served) -> int:
    """The same probe as the one from outside, asked at the loopback address of the container."""
    endpoint = served.known().endpoint(served.place()).model_copy(update={"host": LOOPBACK})
    try:
        print(served.known().probe(endpoint))  # noqa: T201 - what `docker inspect` shows
    except Exception as error:  # whatever a probe raises means: not healthy
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
