"""Looks for secrets in everything that a stack, its runs and its services leave behind or tell anybody."""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from test_infra.cdc.pipeline.topics import end_offsets, read_records
from test_infra.stack import Stack

REST = ("", "/config", "/status", "/offsets", "/tasks", "/topics", "/tasks/0/status")


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret may be written: as it is, in a URL, in JSON, as hex, UTF-16 or base64."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), raw.hex().encode()}
    found.add(secret.encode("utf-16-le"))
    for before in range(3):
        # Inside of other text, such as `user:password` of an HTTP header; only whole groups are the secret's own.
        encoded = base64.b64encode(b"\0" * before + raw)
        found.add(encoded[4 * bool(before) : len(encoded) // 4 * 4 - 4])
    return found


def leaks(secrets: dict[str, str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    """Where which secret was seen, as ``name in place``."""
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}"
        for place, content in places
        for name, ways in wanted.items()
        if any(way in content for way in ways)
    ]


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the folders, but those that are there to hold a secret."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.parent.name != "secrets":
                with suppress(FileNotFoundError):  # a log that was rotated, a segment that was deleted
                    yield str(path), path.read_bytes()


def databases(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every SQLite database; Dagster keeps its snapshots compressed."""
    for path in folder.rglob("*.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                name = table.decode()
                for row in connection.execute(f'SELECT * FROM "{name}"'):
                    yield f"{path}:{name}", b"\n".join(_plain(value) for value in row)


def _plain(value: object) -> bytes:
    if not isinstance(value, bytes):
        return str(value).encode()
    with suppress(zlib.error):
        return zlib.decompress(value)
    return value


def answers(stack: Stack, connector: str) -> Iterator[tuple[str, bytes]]:
    """What Connect tells whoever asks."""
    url = stack.endpoint("connect").url
    paths = [f"/connectors/{connector}{path}" for path in REST]
    for path in [*paths, "/connectors?expand=info&expand=status", "/connector-plugins", "/admin/loggers"]:
        answer = httpx.get(f"{url}{path}")
        assert answer.status_code in {200, 404}, path
        yield f"GET {path}", answer.content


def internal_topics(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Every record of the topics in which Connect keeps configurations, offsets and states."""
    from kafka import KafkaConsumer

    bootstrap = stack.endpoint("kafka").url
    with closing(KafkaConsumer(bootstrap_servers=bootstrap)) as consumer:
        topics = [topic for topic in consumer.topics() if "connect" in topic and "." not in topic]
    for topic in topics:
        for partition, end in end_offsets(bootstrap, topic).items():
            for record in read_records(bootstrap, topic, partition, 0, end):
                yield f"topic {topic}", (record.key or b"") + b"\n" + (record.value or b"")


def processes(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Arguments and environment of every process of a stack."""
    keeper = psutil.Process(stack.keeper.pid)
    for process in [keeper, *keeper.children(recursive=True)]:
        with suppress(psutil.Error):
            variables = [f"{name}={value}" for name, value in process.environ().items()]
            said = "\0".join([*process.cmdline(), *variables])
            yield f"process:{process.name()}", said.encode("utf-8", "surrogateescape")
