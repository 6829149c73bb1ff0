"""Plants one fault in the mirror of `orders`, without the stream knowing, or removes it.

    eval "$(test-infra env --table orders)"
    python spoil.py value     # another amount: VALUE
    python spoil.py drop      # a row less: MISSING
    python spoil.py add       # a row more: EXTRA
    python spoil.py undo

The row is our own: it is written to the source first, and changed in the mirror as soon as it is there.
"""

from __future__ import annotations

import os
import sys

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.lake.open import open_table

ORDER, STRANGER = 9_000_000_001, 9_000_000_002


def main(fault: str) -> None:
    """Restore the mirror, then plant the fault."""
    write_our_order()
    mirror = DeltaTable(os.environ["DELTA_TABLE_PATH"])
    original = wait_for(
        lambda: first_seen(mirror), Deadline(30), what="the mirror of orders", awaited=f"order {ORDER}", interval_s=0.2
    )
    mirror.delete(f"id IN ({ORDER}, {STRANGER})")
    if fault != "drop":
        write_deltalake(mirror, original, mode="append")
    if fault == "value":
        mirror.update(predicate=f"id = {ORDER}", updates={"amount": "amount + 0.01"})
    if fault == "add":
        stranger = original.to_pandas().assign(id=STRANGER)
        write_deltalake(mirror, pa.Table.from_pandas(stranger, schema=original.schema), mode="append")


def write_our_order() -> None:
    """Our order is in the source, once."""
    with psycopg.connect(
        host=os.environ["POSTGRES_HOST"],
        port=os.environ["POSTGRES_PORT"],
        dbname=os.environ["POSTGRES_DB"],
        user=os.environ["POSTGRES_USER"],
        password=os.environ["POSTGRES_PASSWORD"],
    ) as source:
        source.execute(
            "INSERT INTO orders (id, customer_id, amount, ordered_at, status) VALUES (%s, 1, 10.00, now(), 'new')"
            " ON CONFLICT DO NOTHING",
            [ORDER],
        )


def first_seen(mirror: DeltaTable) -> pa.Table:
    """Our order as the first version of the mirror that has it says."""
    mirror.update_incremental()
    for version in range(mirror.version() + 1):
        table = open_table(os.environ["DELTA_TABLE_PATH"], version)
        rows = table.rows(where=pc.field("id") == ORDER).read_all()
        if rows.num_rows:
            return rows
    raise StillWaiting("it is not there yet")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"value", "drop", "add", "undo"}:
        sys.exit(__doc__)
    main(sys.argv[1])
