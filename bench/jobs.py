"""Jobs through the gateway beside the same program through plain spark-submit."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from test_infra.spark.gateway.gateway import SparkGateway
    from test_infra.stack import Stack

PROGRAM = """
import pathlib, sys, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(1).count()
pathlib.Path(sys.argv[1]).write_text(str(time.time()))
spark.stop()
"""
JOBS = 200
LISTS = 20


def beside_spark_submit() -> dict[str, float]:
    """Seconds from the call until the program's session has answered a query, each way, and what the gateway adds."""
    from test_infra.spark.job.spec import JobSpec, PythonFile

    with tempfile.TemporaryDirectory() as folder, _gateway() as (_, gateway):
        program, said = Path(folder) / "job.py", Path(folder) / "said"
        program.write_text(PROGRAM)
        spec = JobSpec(name="bench", application=PythonFile(python_file=str(program)), args=(str(said),))

        def submitted() -> None:
            execution_id = gateway.submit(spec, idempotency_key=uuid.uuid4().hex)
            while not gateway.check(execution_id).state.terminal:
                time.sleep(0.05)

        def plain() -> None:
            subprocess.run(
                [str(_spark_submit()), "--master", "local[2]", str(program), str(said)],
                env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
                capture_output=True,
                check=True,
                timeout=120,
            )

        gateway_s = _until_it_works(submitted, said)
        spark_submit_s = _until_it_works(plain, said)
    return {"gateway_s": gateway_s, "spark_submit_s": spark_submit_s, "overhead_s": gateway_s - spark_submit_s}


def listed() -> dict[str, float]:
    """Milliseconds to list 200 jobs, 5 of them with a driver: in Python, and over HTTP."""
    from test_infra.spark.gateway.record import JobRecord
    from test_infra.spark.gateway.states import JobState, Transition
    from test_infra.spark.http.client import GatewayClient
    from test_infra.spark.job.spec import JobSpec, PythonModule

    ended = JobSpec(name="ended", application=PythonModule(module="this"))
    lives = JobSpec(name="lives", application=PythonModule(module="http.server"), args=("0", "--bind", "127.0.0.1"))
    with _gateway() as (stack, gateway), GatewayClient(stack.endpoint("gateway")) as client:
        record = JobRecord(gateway.folder / "record.sqlite")
        for number in range(JOBS - 5):
            record.add(f"ended{number}", f"ended{number}", ended)
            record.request_driver(f"ended{number}", most_active=None)
            record.move(f"ended{number}", Transition(JobState.SUCCEEDED, "exit code 0"), exit_code=0)
        for number in range(5):
            gateway.submit(lives, idempotency_key=f"lives{number}")
        return {
            "python_ms": _median_ms(lambda: _all(len(gateway.list()))),
            "http_ms": _median_ms(lambda: _all(len(client.list(limit=1_000)))),
        }


def _all(count: int) -> None:
    if count != JOBS:
        raise SystemExit(f"{count} jobs were listed, not {JOBS}")


def _median_ms(act: Callable[[], None]) -> float:
    times = []
    for _ in range(LISTS):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1_000)
    return statistics.median(times)


def _until_it_works(act: Callable[[], None], said: Path) -> float:
    said.unlink(missing_ok=True)
    started = time.time()
    act()
    return float(said.read_text()) - started


def _spark_submit() -> Path:
    from test_infra.spark.driver.class_path import spark_home

    return spark_home() / "bin" / "spark-submit"


@contextmanager
def _gateway() -> Iterator[tuple[Stack, SparkGateway]]:
    from test_infra.spark.gateway.gateway import SparkGateway
    from test_infra.stack import AttachedLease, StackSpec, down, up
    from test_infra.stack.services.gateway import GatewaySettings
    from test_infra.stack.spec import Services

    lease = AttachedLease()
    services = Services(postgres=None, kafka=None, connect=None, gateway=GatewaySettings())
    stack = up(StackSpec(services=services), lease=lease)
    try:
        yield stack, SparkGateway(stack)
    finally:
        down(stack.id)
        lease.release()
