"""What became of every operation of the load: one JSON document per line, flushed with each transaction."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from test_infra.base.errors import UsageError

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


class BadHistory(UsageError):
    """A line of a history that is none; a user's own program may have written it."""


def read(path: Path, key_names: Mapping[str, Sequence[str]] | None = None) -> Iterator[Operation]:
    """The operations of a history, in order; a torn last line is left out, a missing file is an empty history.

    Args:
        path: of the history.
        key_names: table -> its key columns in order, which every line must name; None: as they are written.

    Raises:
        BadHistory: a line is no operation, or names another table or key.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for place, line in enumerate(file):
                if line.endswith("\n"):
                    try:
                        yield _parsed(json.loads(line), place, key_names)
                    except (ValueError, KeyError, TypeError, AttributeError) as error:
                        raise BadHistory(
                            f"line {place + 1} of the load's history is no operation",
                            details={"file": str(path), "seen": f"{type(error).__name__}: {error}", "line": line[:200]},
                            hint="docs/load.md has the form",
                        ) from None
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


def _parsed(line: dict[str, Any], place: int, key_names: Mapping[str, Sequence[str]] | None) -> Operation:
    table, key = line["table"], line["key"]
    names = list(key) if key_names is None else key_names.get(table)
    if names is None:
        raise ValueError(f"table {table} is none of {', '.join(key_names or ())}")
    if set(names) != set(key):
        raise ValueError(f"the key of {table} is {', '.join(names)}")
    return Operation(
        number=line.get("op", place),
        table=table,
        key=tuple(written(key[name]) for name in names),
        kind=Kind(line["kind"]),
        outcome=OperationOutcome(line["outcome"]),
        tx_id=None if line["tx_id"] is None else int(line["tx_id"]),
        started=float(line["started"]),
        done=float(line["done"]),
        phase=Phase(line.get("phase", Phase.LOAD)),
        refused=line.get("refused", ""),
    )
