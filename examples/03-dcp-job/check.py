"""Compares what the job wrote with what the mirror holds: `python check.py`."""

import os
import sys
from pathlib import Path

import duckdb
from deltalake import DeltaTable

orders = DeltaTable(os.environ["DELTA_TABLE_PATH"]).to_pyarrow_dataset()
written = DeltaTable(Path(os.environ["TEST_INFRA_HOME"]) / "examples" / "orders_by_status").to_pyarrow_dataset()
expected = duckdb.sql("SELECT status, count(*), sum(amount) FROM orders WHERE amount > 0 GROUP BY status ORDER BY 1")
found = duckdb.sql("SELECT status, orders, amount FROM written ORDER BY 1")
if expected.fetchall() != found.fetchall():
    print("different", expected.fetchall(), found.fetchall(), sep="\n")
    sys.exit(1)
print("equal:", len(found.fetchall()), "rows")
