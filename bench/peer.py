"""One comparison by reladiff, in its own environment: `python peer.py SECONDS URI DUCKDB_FILE TABLE KEY COLUMN...`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import reladiff


def main(most_s: str, uri: str, file: str, table: str, key: str, *columns: str) -> None:
    """Print seconds, rows that differ, and peak memory above the start, as JSON; after ``most_s`` what there is."""
    source = reladiff.connect_to_table(uri, table, key, extra_columns=columns)
    copy = reladiff.connect_to_table(f"duckdb://:@{file}", table, key, extra_columns=columns)
    idle_kib, started = _peak_kib(), time.monotonic()
    keys: set[object] = set()

    once = threading.Lock()

    def tell() -> None:
        once.acquire()
        told = {"seconds": time.monotonic() - started, "differing": len(keys)}
        print(json.dumps({**told, "memory_mb": (_peak_kib() - idle_kib) / 1024}), flush=True)
        # Its threads go on for as long as their queries do.
        os._exit(0)

    threading.Timer(float(most_s), tell).start()
    for _, row in reladiff.diff_tables(source, copy):
        keys.add(row[0])
    tell()


def _peak_kib() -> int:
    # Not getrusage: that begins with the peak of the process which started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
