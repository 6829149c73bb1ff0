"""How clients reach a PostgreSQL: its hosts, and what they want of its certificate and show of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from test_infra.base.errors import UsageError
from test_infra.base.redaction import redact

if TYPE_CHECKING:
    from test_infra.stack.endpoint import Endpoint

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
HOSTS, TLS = "hosts", ("sslmode", "sslrootcert", "sslcert", "sslkey")
DEFAULT_PORT = 5432


def libpq(endpoint: Endpoint) -> dict[str, str]:
    """Parameters of libpq for where the server is; a variable such as PGSSLMODE or PGHOSTADDR changes none of them."""
    tls = {name: endpoint.properties.get(name, "") for name in TLS}
    hosts = endpoint.properties.get(HOSTS)
    if hosts is None:
        return {
            "host": endpoint.host,
            "port": str(endpoint.port),
            "hostaddr": "",
            **tls,
            "sslmode": tls["sslmode"] or "disable",
        }
    names, ports = zip(*map(split, hosts.split(",")), strict=True)
    return {
        "host": ",".join(names),
        "port": ",".join(map(str, ports)),
        "hostaddr": "",
        "target_session_attrs": "primary",
        **tls,
    }


def debezium(endpoint: Endpoint, primary: tuple[str, int]) -> dict[str, str]:
    """The same as properties of Debezium's connector; certificates are files of the worker.

    Args:
        endpoint: of the server.
        primary: host and port of the one that is the primary now, where there are several: Debezium takes one only.
    """
    tls = {f"database.{name}": endpoint.properties[name] for name in TLS if endpoint.properties.get(name)}
    host, port = primary if HOSTS in endpoint.properties else (endpoint.host, endpoint.port)
    return {"database.hostname": host, "database.port": str(port), **tls}


def split(host_and_port: str) -> tuple[str, int]:
    """Host and port; 5432 where none is given.

    Raises:
        UsageError: the port is no number.
    """
    host, colon, port = host_and_port.rpartition(":")
    if not colon:
        return host_and_port, DEFAULT_PORT
    if not port.isdigit():
        raise UsageError(f"{host_and_port!r} is no host with a port", hint="write host:5432")
    return host, int(port)


def password_in(passfile: Path, wanted: Mapping[str, str]) -> str:
    """The password of a file as ``.pgpass`` is one.

    Args:
        passfile: lines of ``host:port:database:user:password``; ``*`` matches anything, a backslash takes the next sign
            as it is.
        wanted: ``host``, ``port``, ``database`` and ``user``.

    Raises:
        UsageError: the file cannot be read, others may read it, or no line matches.
    """
    try:
        if passfile.stat().st_mode & 0o077:
            raise UsageError(f"others may read {passfile}", hint=f"chmod 600 {passfile}")
        lines = passfile.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{passfile} cannot be read", details={"seen": str(error)}) from error
    values = [wanted[name] for name in ("host", "port", "database", "user")]
    for line in lines:
        fields = _fields(line)
        if len(fields) == len(values) + 1 and all(
            given in ("*", value) for given, value in zip(fields, values, strict=False)
        ):
            redact.learn(fields[-1])
            return fields[-1]
    raise UsageError(f"{passfile} has no line for {':'.join(values)}")


def _fields(line: str) -> list[str]:
    if line.startswith("#"):
        return []
    fields, taken = [""], False
    for sign in line:
        if taken:
            fields[-1] += sign
            taken = False
        elif sign == "\\":
            taken = True
        elif sign == ":" and len(fields) < 5:
            fields.append("")
        else:
            fields[-1] += sign
    return fields
