"""Records of a topic as rows of the newest generation of its table, whichever generation they are of themselves.

The source wrote a record with the columns that its table had then, and a re-delivered one again with these. So a record
that is none of the newest generation is read as one of an older, and its row is brought up to date.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from test_infra.cdc.lake.reshape import reshaped_changes
from test_infra.cdc.stream.parse import Parsed, parse
from test_infra.cdc.types.generation import moves_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    for old in reversed(generations[:-1]):
        if not parsed.refused.num_rows:
            break
        if moves_rows(old, newest):
            there = _at(records, parsed.refused)
            older = parse(connection, there, old.table, tx_id_reference=tx_id_reference, batch_id=batch_id)
            parsed = _joined(parsed, older, reshaped_changes(connection, older.changes, old, newest))
    return parsed


def _joined(parsed: Parsed, older: Parsed, changes: pa.Table) -> Parsed:
    import pyarrow as pa

    left = _places(older.refused)
    return replace(
        parsed,
        changes=pa.concat_tables([parsed.changes, changes]),
        refused=parsed.refused.filter([place in left for place in _listed(parsed.refused)]),
        max_commit_ts_us=max(parsed.max_commit_ts_us, older.max_commit_ts_us),
        max_tx_id=max(parsed.max_tx_id, older.max_tx_id),
    )


def _at(records: pa.Table, refused: pa.Table) -> pa.Table:
    wanted = _places(refused)
    return records.filter([place in wanted for place in _listed(records)])


def _places(rows: pa.Table) -> set[tuple[int, int]]:
    return set(_listed(rows))


def _listed(rows: pa.Table) -> list[tuple[int, int]]:
    return list(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))
