"""The driver of a Spark Connect server: ``python -m test_infra.spark.driver.connect_server PORT IDLE_TTL_S MAX_TTL_S``.

Says that it works once a session of its own, through the front door and with its token, had a query answered. Ends
by itself, with exit code 0, when no session was used for the idle time, after its longest time, and on SIGTERM.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.logs import log_to_stderr
from test_infra.base.redaction import redact
from test_infra.spark.driver.session import PROPERTIES, DriverStatus, job_dir, session, write_status
from test_infra.spark.gateway.connect_servers import TOKEN_VARIABLE, address

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOOK_EVERY_S = 0.5
ANSWERS_WITHIN_S = 150.0
SERVER_TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - the variable's name

log = logging.getLogger("test_infra.connect")


@dataclass(frozen=True)
class Use:
    """What sessions did with a server.

    Args:
        last_at: epoch seconds of the last request; None when there was none.
        working: whether a query runs now.
    """

    last_at: float | None
    working: bool


def reason_to_end(use: Use, *, now: float, ready_at: float, idle_ttl_s: float, max_ttl_s: float) -> str:
    """Why a server ends now; empty while it goes on. All times are epoch seconds.

    Args:
        use: of its sessions.
        now: this moment.
        ready_at: when it became ready.
        idle_ttl_s: longest time without a request.
        max_ttl_s: longest time in all.
    """
    if now - ready_at >= max_ttl_s:
        return f"its longest time, {max_ttl_s:g} s, is over"
    if not use.working and now - max(use.last_at or 0.0, ready_at) >= idle_ttl_s:
        return f"no session was used for {idle_ttl_s:g} s"
    return ""


def main(argv: list[str]) -> int:
    """Serve until the end."""
    port, idle_ttl_s, max_ttl_s = int(argv[0]), float(argv[1]), float(argv[2])
    log_to_stderr()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    folder, status = job_dir(), DriverStatus()
    try:
        spark = _start(port)
        status = DriverStatus(driver_ready_at=time.time())
        write_status(folder, status)
        secret = os.environ[TOKEN_VARIABLE]
        wait_for(
            lambda: _answers(address(port, secret)),
            Deadline(ANSWERS_WITHIN_S),
            what="the Spark Connect server",
            awaited="an answer to a query",
        )
        status = status.model_copy(update={"ready_at": time.time()})
        write_status(folder, status)
        log.info("a session answered a query; port %d", port)
        _serve(stop, _uses(spark), ready_at=status.ready_at or 0.0, idle_ttl_s=idle_ttl_s, max_ttl_s=max_ttl_s)
        spark.stop()
    except Exception as error:
        traceback.print_exc()
        write_status(folder, status.model_copy(update={"error": redact(f"{type(error).__name__}: {error}")[:4_000]}))
        return 1
    return 0


def _start(port: int) -> SparkSession:
    # By its environment: a property would stand in the arguments of the process, or be there for every session to read.
    os.environ[SERVER_TOKEN_VARIABLE] = os.environ[TOKEN_VARIABLE]
    redact.learn(os.environ[TOKEN_VARIABLE])
    with (job_dir() / PROPERTIES).open("a") as properties:
        properties.write(
            "spark.plugins=org.apache.spark.sql.connect.SparkConnectPlugin\n"
            f"spark.connect.grpc.binding.address={os.environ['SPARK_LOCAL_IP']}\n"
            f"spark.connect.grpc.binding.port={port}\n"
            "spark.port.maxRetries=0\n"
        )
    return session(job_dir())


def _answers(url: str) -> None:
    from pyspark.sql.connect.session import SparkSession

    try:
        asking = SparkSession.builder.remote(url).create()
        try:
            rows = asking.sql("SELECT 40 + 2 AS answer").collect()
        finally:
            asking.stop()
    except Exception as error:
        raise StillWaiting(redact(f"{type(error).__name__}: {error}")) from error
    if rows[0]["answer"] != 40 + 2:
        raise StillWaiting(f"a query was answered with {rows}")


def _serve(
    stop: threading.Event, uses: Callable[[], Use], *, ready_at: float, idle_ttl_s: float, max_ttl_s: float
) -> None:
    while not stop.wait(LOOK_EVERY_S):
        why = reason_to_end(uses(), now=time.time(), ready_at=ready_at, idle_ttl_s=idle_ttl_s, max_ttl_s=max_ttl_s)
        if why:
            log.info("ending: %s", why)
            return
    log.info("ending: asked to")


def _uses(spark: SparkSession) -> Callable[[], Use]:
    """What the server's own list of sessions and queries says; a session that is gone counts until its last request."""
    jvm: Any = spark._jvm  # noqa: SLF001 - PySpark's documented way to Java classes
    # A Scala object's own methods: PySpark reaches for the server's port in the same way.
    service = getattr(getattr(jvm, "org.apache.spark.sql.connect.service.SparkConnectService$"), "MODULE$")
    last_at: float | None = None

    def use() -> Use:
        nonlocal last_at
        sessions = service.sessionManager().listActiveSessions()
        for number in range(sessions.size()):
            seen_at = sessions.apply(number).lastAccessTimeMs() / 1_000
            last_at = seen_at if last_at is None else max(last_at, seen_at)
        return Use(last_at, working=service.executionManager().listActiveExecutions().isRight())

    return use


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
