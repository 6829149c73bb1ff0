"""Ports on loopback: free ones unless a certain one is asked for."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom

import psutil

from test_infra.base.errors import InfrastructureError

LOOPBACK = "127.0.0.1"
FIRST_OWN_PORT = 20_000
FEWEST_OWN_PORTS = 1_000
ASSIGNED_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_BY_IANA = 49_152
"""The first dynamic port (RFC 6335, section 6), where the system does not say which ones it assigns."""


class PortTaken(InfrastructureError):
    """The port that was asked for is in use by another program."""


def free_ports(count: int) -> list[int]:
    """Distinct ports on which nothing listens now.

    The caller listens on them some seconds later. Meanwhile the system must not assign them to another program, so they
    lie below the range from which it assigns ports by itself. Where that range leaves fewer than 1,000, the system
    chooses them.

    Raises:
        PortTaken: there are not so many.
    """
    own = range(FIRST_OWN_PORT, _lowest_assigned())
    candidates = SystemRandom().sample(own, len(own)) if len(own) >= FEWEST_OWN_PORTS else [0] * count
    found: list[int] = []
    with ExitStack() as held:  # all until the last is found, so that none is found twice
        for port in candidates:
            if len(found) == count:
                break
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((LOOPBACK, port))
                found.append(one.getsockname()[1])
    if len(found) < count:
        raise PortTaken(f"of {len(own)} ports from {FIRST_OWN_PORT} on there are not {count} free")
    return found


def _lowest_assigned() -> int:
    try:
        return int(ASSIGNED_RANGE.read_text().split()[0])
    except OSError:  # not Linux
        return LOWEST_BY_IANA


def require_free(port: int, service: str) -> int:
    """``port`` itself, which is free now.

    Raises:
        PortTaken: a program listens there; names the process when it can be seen.
    """
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} for {service} is taken",
                details={"taken by": _listener(port) or error.strerror or "unknown"},
                hint=f"stop it, or leave out services.{service}.port to take a free one",
            ) from error
    return port


def _listener(port: int) -> str | None:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return None
    return None
