"""A DuckDB on disk for the time of one comparison: memory is bounded, the rest is spilled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.paths import private_dir

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "256MB"


@contextmanager
def on_disk(stack_dir: Path) -> Iterator[DuckDBPyConnection]:
    """A database in a private folder below the stack's; both are gone after the block. It fetches nothing."""
    import duckdb

    folder = Path(tempfile.mkdtemp(prefix="spool-", dir=private_dir(stack_dir / "spool")))
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "false",
    }
    try:
        with duckdb.connect(str(folder / "rows.duckdb"), config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    finally:
        shutil.rmtree(folder, ignore_errors=True)
