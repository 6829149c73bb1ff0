"""Records of a topic as rows of the newest generation of its table, whichever generation they are of themselves.

The source wrote a record with the columns that its table had then, and a re-delivered one again with these. So a record
that is none of the newest generation is read as one of an older, and its row is brought up to date.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from test_infra.cdc.lake.reshape import reshaped_changes
from test_infra.cdc.stream.parse import Parsed, parse
from test_infra.cdc.types.generation import between, moves_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.types.generation import Generation


def parse_generations(
    connection: DuckDBPyConnection,
    records: pa.Table,
    generations: Sequence[Generation],
    *,
    tx_id_reference: int,
    batch_id: int,
) -> Parsed:
    """As `parse`; what no generation can read is refused, with what the newest says of it.

    Args:
        connection: from `memory_db`.
        records: of one topic.
        generations: of its table, the newest last.
        tx_id_reference: a recent 64-bit transaction id.
        batch_id: micro-batch.
    """
    newest = generations[-1]
    parsed = parse(connection, records, newest.table, tx_id_reference=tx_id_reference, batch_id=batch_id)
    if len(generations) == 1 or not parsed.refused.num_rows:
        return parsed
    for names, of_columns in _by_columns(parsed.refused).items():
        for old in _having(generations, names):
            places = of_columns & set(_listed(parsed.refused))
            if not places or not moves_rows(old, newest):
                continue
            there = records.filter([place in places for place in _listed(records)])
            older = parse(connection, there, old.table, tx_id_reference=tx_id_reference, batch_id=batch_id)
            parsed = _joined(parsed, older, places, reshaped_changes(connection, older.changes, old, newest))
    return parsed


def _having(generations: Sequence[Generation], names: frozenset[str]) -> Iterator[Generation]:
    """What the table may have been when it had these columns, the newest first."""
    for old, new in reversed(list(pairwise(generations))):
        yield from between(old, new, names)


def _by_columns(refused: pa.Table) -> dict[frozenset[str], set[tuple[int, int]]]:
    """Places of records by the columns of the row in them; without those that have no row."""
    found: dict[frozenset[str], set[tuple[int, int]]] = {}
    for place, value in zip(_listed(refused), refused["value"].to_pylist(), strict=True):
        try:
            event = json.loads(value or b"null")
            names = frozenset(event["after"] or event["before"])
        except (ValueError, TypeError, KeyError):
            continue
        found.setdefault(names, set()).add(place)
    return found


def _joined(parsed: Parsed, older: Parsed, places: set[tuple[int, int]], changes: pa.Table) -> Parsed:
    """With the records at these places as an older generation reads them."""
    import pyarrow as pa

    left = set(_listed(older.refused))
    return replace(
        parsed,
        changes=pa.concat_tables([parsed.changes, changes]),
        refused=parsed.refused.filter([at in left or at not in places for at in _listed(parsed.refused)]),
        max_commit_ts_us=max(parsed.max_commit_ts_us, older.max_commit_ts_us),
        max_tx_id=max(parsed.max_tx_id, older.max_tx_id),
    )


def _listed(rows: pa.Table) -> list[tuple[int, int]]:
    return list(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))
