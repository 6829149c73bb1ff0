"""How clients reach Kafka's brokers: addresses, encryption and who they are, for every kind of client in one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.document import Document
from test_infra.base.redaction import redact

if TYPE_CHECKING:
    from test_infra.stack.endpoint import Endpoint

PASSWORD = "password"  # noqa: S105 - the name of a secret
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


class Brokers(Document):
    """What a Kafka client needs.

    Args:
        servers: bootstrap servers, ``host:port`` with commas between.
        tls: the connection is encrypted, and the brokers' certificates are checked.
        ca_file: certificate authority, PEM; empty: those that the client trusts anyway.
        sasl_mechanism: how the client says who it is; empty: it does not.
        username: who it is.
        password_file: holds its password.
    """

    servers: str
    tls: bool = False
    ca_file: str = ""
    sasl_mechanism: str = ""
    username: str = ""
    password_file: Path | None = None

    @classmethod
    def of(cls, endpoint: Endpoint | Brokers | str) -> Brokers:
        """The brokers of an endpoint, or of plain text addresses."""
        if isinstance(endpoint, Brokers):
            return endpoint
        if isinstance(endpoint, str):
            return cls(servers=endpoint)
        given = endpoint.properties
        return cls(
            servers=endpoint.url,
            tls=given.get("tls") == "true",
            ca_file=given.get("ca_file", ""),
            sasl_mechanism=given.get("sasl_mechanism", ""),
            username=given.get("username", ""),
            password_file=endpoint.secret_files.get(PASSWORD),
        )

    def __str__(self) -> str:
        return self.servers

    @property
    def security_protocol(self) -> str:
        """As Kafka names it."""
        if self.sasl_mechanism:
            return "SASL_SSL" if self.tls else "SASL_PLAINTEXT"
        return "SSL" if self.tls else "PLAINTEXT"

    def python_client(self) -> dict[str, Any]:
        """Arguments of kafka-python's clients."""
        found: dict[str, Any] = {
            "bootstrap_servers": self.servers.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.tls and self.ca_file:
            found["ssl_cafile"] = self.ca_file
        if self.sasl_mechanism:
            found |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self._password(),
            }
        return found

    def java_client(self, prefix: str = "") -> dict[str, str]:
        """Properties of Java clients, the password among them: for a file of mode 0600, or for memory.

        Args:
            prefix: of every name, such as ``kafka.`` for Spark.
        """
        found = {"bootstrap.servers": self.servers}
        if self.security_protocol != "PLAINTEXT":
            found["security.protocol"] = self.security_protocol
        if self.tls and self.ca_file:
            found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": self.ca_file}
        if self.sasl_mechanism:
            module = _LOGIN_MODULES[self.sasl_mechanism]
            who = f"username={_quoted(self.username)} password={_quoted(self._password())}"
            found |= {"sasl.mechanism": self.sasl_mechanism, "sasl.jaas.config": f"{module} required {who};"}
        return {f"{prefix}{name}": value for name, value in found.items()}

    def _password(self) -> str:
        if self.password_file is None:
            return ""
        password = self.password_file.read_text()
        redact.learn(password)
        return password


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
