"""How a service is reached: from this machine, and from the other containers of its stack."""

from __future__ import annotations

from pathlib import Path

from test_infra.base.document import Document
from test_infra.base.redaction import redact


class Address(Document):
    """Where a service is, for the other containers of its stack.

    Args:
        host: its name in the stack's network.
        port: its client port there.
        url: address in the form its clients take.
    """

    host: str
    port: int
    url: str


class Endpoint(Document):
    """What a client needs to reach a service.

    Args:
        service: its name.
        host: where it listens.
        port: its client port.
        url: address in the form its clients take, never with a password.
        version: as the running service told it.
        start_s: seconds from start until usable; 0 for an external one.
        usable_at: epoch seconds when it first answered; 0 for an external one.
        log_path: its log; None for an external one.
        properties: further facts clients need, such as ``database``.
        secret_files: name -> file of mode 0600 that holds the secret.
        container: where the stack's containers reach it; None where host, port and url serve them, too.
    """

    service: str
    host: str
    port: int
    url: str
    version: str = ""
    start_s: float = 0.0
    usable_at: float = 0.0
    log_path: Path | None = None
    properties: dict[str, str] = {}
    secret_files: dict[str, Path] = {}
    container: Address | None = None

    @property
    def inside(self) -> Endpoint:
        """The same service as the stack's own processes reach it: in containers by its name, else as it stands."""
        if self.container is None:
            return self
        return self.model_copy(update={**self.container.model_dump(), "container": None})

    def secret(self, name: str) -> str:
        """Read a secret; from now on it is masked in every output of this process."""
        value = self.secret_files[name].read_text()
        redact.learn(value)
        return value
