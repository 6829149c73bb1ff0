"""Ports on loopback: free ones unless a certain one is asked for."""

from __future__ import annotations

import socket

import psutil

from test_infra.base.errors import InfrastructureError

LOOPBACK = "127.0.0.1"


class PortTaken(InfrastructureError):
    """The port that was asked for belongs to somebody else."""


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def claim(port: int, service: str) -> int:
    """``port`` itself when it is free.

    Raises:
        PortTaken: somebody listens there; names the process when it can be seen.
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
