"""Who removed a row that the history says is there: asked of the change log, for keys that are absent only.

A row that was lost has no such event, so it stays lost: the change log must have the acknowledged operation itself, and
behind it a removal by a transaction that did not do that on the load's behalf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from test_infra.cdc.load.history import Key, Operation, Phase, written

if TYPE_CHECKING:
    from test_infra.cdc.lake.table import LakeTable


@dataclass(frozen=True)
class Removal:
    """The newest event of a key, which removed its row.

    Args:
        tx_id: the transaction that did it.
        before: transactions of the key's earlier events.
        snapshot: whether an initial snapshot is among them.
    """

    tx_id: int
    before: frozenset[int] = field(default_factory=frozenset)
    snapshot: bool = False

    def after(self, operation: Operation) -> bool:
        """Whether the operation is in the change log, and the removal came behind it."""
        return operation.tx_id in self.before or (self.snapshot and operation.phase is Phase.SEED)


def removals(changes: LakeTable, key_names: Sequence[str], keys: Iterable[Key]) -> Mapping[Key, Removal]:
    """The keys among these whose newest event removed the row."""
    wanted = set(keys)
    events: dict[Key, list[tuple[tuple[bool, int, int], str, int | None]]] = {key: [] for key in wanted}
    truncates: list[tuple[tuple[bool, int, int], str, int | None]] = []
    for batch in changes.rows(["op", "key", "lsn", "tx_id", "snapshot", "kafka_offset"]):
        for row in batch.to_pylist():
            place = (not row["snapshot"], row["lsn"] or 0, row["kafka_offset"])
            if row["op"] == "t":
                truncates.append((place, "t", row["tx_id"]))
            elif row["op"] in ("c", "u", "d", "r") and row["key"] is not None:
                key = tuple(written(row["key"][name]) for name in key_names)
                if key in wanted:
                    events[key].append((place, row["op"], row["tx_id"]))
    found = {}
    for key, of_key in events.items():
        *before, last = sorted([*of_key, *truncates], key=lambda event: event[0]) or [((False, 0, 0), "", None)]
        if last[1] in ("d", "t") and last[2] is not None:
            found[key] = Removal(
                last[2],
                frozenset(tx_id for _, _, tx_id in before if tx_id is not None),
                snapshot=any(op == "r" for _, op, _ in before),
            )
    return found
