"""How clients reach a Spark Connect server: its host name, its token's variable, its URL."""

from __future__ import annotations

from test_infra.base.redaction import redact

TOKEN_VARIABLE = "CONNECT_TOKEN"  # noqa: S105 - the variable's name
CLIENT_HOST = "localhost"
"""The only name to which Spark's client sends a token without TLS; the server listens on 127.0.0.1."""


def connect_url(port: int, secret: str) -> str:
    """The ``sc://`` URL of a server with its token in it: for a client, never for an output."""
    redact.learn(secret)
    return f"sc://{CLIENT_HOST}:{port}/;token={secret}"
