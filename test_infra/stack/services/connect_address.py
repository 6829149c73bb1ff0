"""How the REST interface of Kafka Connect is reached, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.document import Document
from test_infra.base.redaction import redact

if TYPE_CHECKING:
    import httpx

    from test_infra.stack.endpoint import Endpoint

REST_PASSWORD = "rest_password"  # noqa: S105 - the name of a secret


class ConnectAddress(Document):
    """What a client of Kafka Connect needs.

    Args:
        url: such as ``http://127.0.0.1:8083``.
        ca_file: authority of its certificate, PEM; empty: those of the system.
        username: of basic authentication; empty: there is none.
        password_file: holds the password.
    """

    url: str
    ca_file: str = ""
    username: str = ""
    password_file: Path | None = None

    @classmethod
    def of(cls, endpoint: Endpoint | ConnectAddress | str) -> ConnectAddress:
        """The address of an endpoint, or of a plain URL."""
        if isinstance(endpoint, ConnectAddress):
            return endpoint
        if isinstance(endpoint, str):
            return cls(url=endpoint)
        return cls(
            url=endpoint.url,
            ca_file=endpoint.properties.get("ca_file", ""),
            username=endpoint.properties.get("username", ""),
            password_file=endpoint.secret_files.get(REST_PASSWORD),
        )

    def client(self, timeout_s: float) -> httpx.Client:
        """A client that keeps no connection open between requests, so there is nothing to close."""
        import ssl

        import httpx

        further: dict[str, Any] = {}
        if self.ca_file:
            further["verify"] = ssl.create_default_context(cafile=self.ca_file)
        if self.username and self.password_file is not None:
            password = self.password_file.read_text()
            redact.learn(password)
            further["auth"] = (self.username, password)
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(base_url=self.url.rstrip("/"), timeout=timeout_s, limits=limits, **further)
