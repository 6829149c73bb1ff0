"""What became of every operation of the load: one JSON document per line, flushed with each transaction."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

Key = tuple[int | str, ...]
"""A key as it is written down: integers as they are, every other value as text."""

WITH_ANOTHER = "another operation of its transaction was refused"
"""What stands for the source's words at an operation that was not refused itself."""


class Kind(StrEnum):
    """What an operation does."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TOUCHED = "touched"
    """Nobody says what: a trigger or a rule did something else than the statement said."""


class OperationOutcome(StrEnum):
    """What became of an operation."""

    OK = "ok"
    """Its commit was acknowledged."""
    FAILED = "failed"
    """It was rolled back, or had no effect: it is in no table for certain."""
    UNKNOWN = "unknown"
    """The connection was lost at its commit: it may be in the table or not."""


class Phase(StrEnum):
    """When an operation ran."""

    SEED = "seed"
    """Before the connector: its rows come with the initial snapshot."""
    LOAD = "load"


@dataclass(frozen=True)
class Operation:
    """One operation and its end.

    Args:
        number: place in the history.
        table: its label.
        key: of the row.
        kind: what it does.
        outcome: what became of it.
        tx_id: 64-bit transaction id; None when the connection was lost before it came.
        started: epoch seconds, before the transaction began.
        done: epoch seconds, after its end was acknowledged.
        phase: before the connector, or after.
        refused: the source's own words, where it refused the operation or another one of its transaction; empty for
            one that was rolled back on purpose.
    """

    number: int
    table: str
    key: Key
    kind: Kind
    outcome: OperationOutcome
    tx_id: int | None
    started: float
    done: float
    phase: Phase = Phase.LOAD
    refused: str = ""


@dataclass(frozen=True)
class OperationResult:
    """An operation as it is handed to `History.add`: the rest is the same for its whole transaction."""

    table: str
    key_names: tuple[str, ...]
    key: Key
    kind: Kind
    outcome: OperationOutcome
    refused: str = ""


def written(value: object) -> int | str:
    """A key's value as it is written down, the same for PostgreSQL's value and for the mirror's."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return value
        case bytes():
            return value.hex()
        case _:
            return str(value)


def cause(refused: str) -> str:
    """What a refusal is counted by: the constraint's name where there is one, or all its words."""
    return refused.split(": ", maxsplit=1)[0]


class History:
    """Appends to the file; threads may share it. A killed process leaves at most one torn line, the last."""

    def __init__(self, path: Path) -> None:
        heal(path)
        self._file = path.open("a", encoding="utf-8")
        path.chmod(0o600)
        self._lock = threading.Lock()
        self._numbers = itertools.count(count(path))

    def add(
        self,
        steps: Iterable[OperationResult],
        tx_id: int | None,
        started: float,
        done: float,
        phase: Phase = Phase.LOAD,
    ) -> None:
        """Write down one transaction, whole."""
        same = {"tx_id": tx_id, "started": round(started, 6), "done": round(done, 6), "phase": phase}
        with self._lock:
            lines = (
                json.dumps(
                    {
                        "op": next(self._numbers),
                        "table": step.table,
                        "key": dict(zip(step.key_names, step.key, strict=True)),
                        "kind": step.kind,
                        "outcome": step.outcome,
                        **same,
                        **({"refused": step.refused} if step.refused else {}),
                    },
                    ensure_ascii=False,
                )
                for step in steps
            )
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Operation]:
    """The operations of a history, in order; a torn last line is left out, a missing file is an empty history."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.endswith("\n"):
                    yield _parsed(json.loads(line))
    except FileNotFoundError:
        return


def count(path: Path) -> int:
    """How many whole lines there are."""
    try:
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def heal(path: Path) -> None:
    """Cut off a torn last line, so that the next one does not continue it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _parsed(line: dict[str, Any]) -> Operation:
    return Operation(
        number=line["op"],
        table=line["table"],
        key=tuple(line["key"].values()),
        kind=Kind(line["kind"]),
        outcome=OperationOutcome(line["outcome"]),
        tx_id=line["tx_id"],
        started=line["started"],
        done=line["done"],
        phase=Phase(line["phase"]),
        refused=line.get("refused", ""),
    )
