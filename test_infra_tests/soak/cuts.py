"""Cuts one after the other under traffic and DDL, while what carries the changes is paused, killed and started again.

Each is judged twice.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import parity
from test_infra.cdc.judge.compare import TableParity
from test_infra.cdc.judge.coverage import Behind
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import connect
from test_infra.cdc.stream.control import SparkStream
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.stack import Stack
from test_infra_tests.oracle import oracle
from test_infra_tests.soak.migrations import Migrations
from test_infra_tests.soak.traffic import RATE_PER_S, flowing

log = logging.getLogger(__name__)
SPEC = PipelineSpec(
    name="soak",
    tables=["accounts", "journal", "visits", "archive.accounts", "sales.orders", "sales.lines", "sales.notes"],
    source=SourceSpec(ddl=Path(__file__).with_name("soak.sql")),
    load=None,
)
CUT_TIMEOUT_S = 120.0
LONGEST_PAUSE_S = 10.0
STARTED_WITHIN_S = 240.0
"""A driver beside a cut, on a busy machine."""
PLAIN_EVERY = 3
"""Cuts from one to the next that is also taken as always, at a moment of its own instead of the temporary slot's."""


@dataclass
class Soak:
    """What a series of cuts of one pipeline gave.

    Args:
        seed: of the lengths of the pauses, and of the DDL.
        tables: that are captured.
        rate_per_s: transactions that are begun in a second.
        cuts: taken, each at the moment of a temporary slot, judged by transaction ids and by what the slot gave.
        judged: verdicts on a table.
        false: what was found although nothing was wrong.
        late: tables that were not there in time; nothing was said about them.
        apart: tables of which the oracle said something else, or called an event visible that the cut did not.
        clean_keys: keys compared source with mirror.
        dirty_keys: keys compared through the log.
        faults: what was done to the pipeline, and how often.
        ddl: what was done to its tables, and how often.
        transactions: committed or rolled back meanwhile.
        seconds: the whole time.
        longest_cut_s: of one of the cuts.
    """

    seed: int = 0
    tables: list[str] = field(default_factory=list)
    rate_per_s: int = 0
    cuts: int = 0
    judged: int = 0
    false: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    clean_keys: int = 0
    dirty_keys: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ddl: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    seconds: float = 0.0
    longest_cut_s: float = 0.0

    def take(self, found: TableParity) -> None:
        """Count the verdict on one table."""
        if Verdict.LAG in found.counts:
            self.late.append(f"{found.table}: {found.reason}")
            return
        self.judged += 1
        self.clean_keys += found.clean_keys
        self.dirty_keys += found.dirty_keys
        if not found.green:
            log.warning("%s", found)
            self.false.append(f"{found.table}: {found.counts} {found.reason} {found.differences[:5]}")

    def write(self, path: Path, commit: str) -> None:
        """Add this series, and the commit of the code that it is about, to a file of series."""
        series = json.loads(path.read_text()) if path.exists() else []
        path.parent.mkdir(exist_ok=True)
        when = {"ended_at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit}
        own = {**when, **vars(self), "faults": dict(self.faults), "ddl": dict(self.ddl)}
        path.write_text(json.dumps([*series, own], indent=1) + "\n")


def soak(pipeline: RunningPipeline, folder: Path, cuts: int, *, seed: int = 4, rate_per_s: int = RATE_PER_S) -> Soak:
    """Take cuts under traffic, DDL and faults.

    Args:
        pipeline: it runs, with the tables of `SPEC`.
        folder: for scripts and logs of the traffic.
        cuts: how many; in each thirty are three pauses, a kill of Connect, one of the stream's driver, and a
            stop and start of that.
        seed: of the lengths of the pauses, and of the DDL.
        rate_per_s: transactions that are begun in a second.
    """
    found = Soak(seed=seed, tables=pipeline.tables, rate_per_s=rate_per_s)
    began, stack = time.monotonic(), pipeline.stack
    faults = _Faults(pipeline, random.Random(seed), found.faults)
    migrations = Migrations(pipeline, random.Random(seed), found.ddl)
    before = _transactions(stack)
    with flowing(stack, folder, rate_per_s):
        for number in range(cuts):
            faults.plan(number)
            migrations.begin()
            cut_began = time.monotonic()
            if number % PLAIN_EVERY == 0:
                for table in parity.check(pipeline, timeout_s=CUT_TIMEOUT_S).tables.values():
                    found.take(table)
            try:
                opinions = oracle.ask(pipeline, timeout_s=CUT_TIMEOUT_S)
            except Behind as error:
                found.late.append(str(error))
                opinions = {}
            for opinion in opinions.values():
                found.take(opinion.ours)
                found.take(opinion.oracle)
                if not opinion.agrees:
                    found.apart.append(f"{opinion.apart} events; {opinion.ours.counts} and {opinion.oracle.counts}")
            found.cuts += 1
            log.info(
                "cut %d: %.2f s, faults %s, DDL %s",
                found.cuts,
                time.monotonic() - cut_began,
                dict(found.faults),
                dict(found.ddl),
            )
            found.longest_cut_s = max(found.longest_cut_s, time.monotonic() - cut_began)
        faults.end()
        migrations.end()
    found.transactions = _transactions(stack) - before
    found.seconds = time.monotonic() - began
    return found


class _Faults:
    """What is done to the pipeline beside the cuts, one thing at a time."""

    def __init__(self, pipeline: RunningPipeline, random_: random.Random, done: Counter[str]) -> None:
        self._pipeline = pipeline
        self._stream = SparkStream(pipeline)
        self._random = random_
        self._done = done
        self._thread: threading.Thread | None = None
        self._plan: dict[int, Callable[[], None]] = {
            3: self._pause,
            9: self._kill_connect,
            13: self._pause,
            19: self._kill_driver,
            23: self._pause,
            27: self._restart_driver,
        }

    def plan(self, cut: int) -> None:
        """Begin what is planned for this cut; what was begun before has ended by then."""
        fault = self._plan.get(cut % 30)
        if fault is not None:
            self.end()
            self._done[fault.__name__.strip("_")] += 1
            self._thread = threading.Thread(target=fault, name="fault")
            self._thread.start()

    def end(self) -> None:
        """Wait for the end of what was begun."""
        if self._thread is not None:
            self._thread.join()

    def _pause(self) -> None:
        gateway, execution = SparkGateway(self._pipeline.stack), self._stream.newest().execution_id
        gateway.signal(execution, signal.SIGSTOP)
        time.sleep(self._random.uniform(1.0, LONGEST_PAUSE_S))
        gateway.signal(execution, signal.SIGCONT)

    def _kill_connect(self) -> None:
        self._pipeline.stack.runtime.signal("connect", signal.SIGKILL)

    def _kill_driver(self) -> None:
        self._stream.kill()
        self._stream.submit_after_end(Deadline(20))
        self._stream.wait_ready(Deadline(STARTED_WITHIN_S))

    def _restart_driver(self) -> None:
        self._stream.stop()
        self._stream.submit_after_end(Deadline(60))
        self._stream.wait_ready(Deadline(STARTED_WITHIN_S))


def _transactions(stack: Stack) -> int:
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    with connect(stack.endpoint("postgres"), "owner") as session:
        row = session.execute(query).fetchone()
    return int(row[0]) if row else 0
