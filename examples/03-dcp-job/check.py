"""Compares the job's result with the mirror: `python check.py`."""

import os
import sys
from pathlib import Path

import duckdb

from test_infra.cdc.lake.open import open_table

orders = open_table(os.environ["DELTA_TABLE_PATH"]).rows().read_all()
written = open_table(Path(os.environ["TEST_INFRA_HOME"]) / "examples" / "orders_by_status").rows().read_all()
expected = duckdb.sql("SELECT status, count(*), sum(amount) FROM orders WHERE amount > 0 GROUP BY status ORDER BY 1")
found = duckdb.sql("SELECT status, orders, amount FROM written ORDER BY 1")
if expected.fetchall() != found.fetchall():
    print("different", expected.fetchall(), found.fetchall(), sep="\n")
    sys.exit(1)
print("equal:", len(found.fetchall()), "rows")
