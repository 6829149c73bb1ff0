"""The driver of a Spark Connect server: ``python -m test_infra.spark.driver.connect_server PORT IDLE_TTL_S MAX_TTL_S``.

Reports itself as working once a session of its own, over the network and with the token, had a query answered. Ends
with exit code 0 when no session was used for the idle time, after its longest time, and on SIGTERM.
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
from test_infra.jvm.properties import properties_text
from test_infra.spark.driver.connect_address import TOKEN_VARIABLE, connect_url
from test_infra.spark.driver.job_folder import PROPERTIES, job_dir
from test_infra.spark.driver.session import session
from test_infra.spark.driver.status import DriverStatus, write_status

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHECK_EVERY_S = 0.5
ANSWERS_WITHIN_S = 150.0
SERVER_TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - the variable's name

log = logging.getLogger("test_infra.connect")


@dataclass(frozen=True)
class Use:
    """How much sessions use a server.

    Args:
        last_at: epoch seconds of the last request; None when there was none.
        working: whether a query runs now.
    """

    last_at: float | None
    working: bool


def reason_to_end(use: Use, *, now: float, ready_at: float, idle_ttl_s: float, max_ttl_s: float) -> str | None:
    """Why a server ends now; None while it keeps serving. All times are epoch seconds.

    Args:
        use: of its sessions.
        now: this moment.
        ready_at: when it became ready.
        idle_ttl_s: longest time without a request.
        max_ttl_s: longest time since it was ready.
    """
    if now - ready_at >= max_ttl_s:
        return f"its longest time, {max_ttl_s:g} s, is over"
    if not use.working and now - max(use.last_at or 0.0, ready_at) >= idle_ttl_s:
        return f"no session was used for {idle_ttl_s:g} s"
    return None


def main(argv: list[str]) -> int:
    """Start the server, report when it answers, serve until a reason to end."""
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
            lambda: _ask_a_query(connect_url(port, secret)),
            Deadline(ANSWERS_WITHIN_S),
            what="the Spark Connect server",
            awaited="an answer to a query",
        )
        status = status.model_copy(update={"ready_at": time.time()})
        write_status(folder, status)
        log.info("a session answered a query; port %d", port)
        _serve(
            stop, _observer_of_use(spark), ready_at=status.ready_at or 0.0, idle_ttl_s=idle_ttl_s, max_ttl_s=max_ttl_s
        )
        spark.stop()
    except Exception as error:
        traceback.print_exc()
        write_status(folder, status.model_copy(update={"error": redact(f"{type(error).__name__}: {error}")[:4_000]}))
        return 1
    return 0


def _start(port: int) -> SparkSession:
    # Through its environment: a property would be visible in the process arguments, or to every session.
    os.environ[SERVER_TOKEN_VARIABLE] = os.environ[TOKEN_VARIABLE]
    redact.learn(os.environ[TOKEN_VARIABLE])
    server = {
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": os.environ["SPARK_LOCAL_IP"],
        "spark.connect.grpc.binding.port": port,
        "spark.port.maxRetries": 0,
    }
    with (job_dir() / PROPERTIES).open("a") as properties:
        properties.write(properties_text(server))
    return session(job_dir())


def _ask_a_query(url: str) -> None:
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
    stop: threading.Event, use: Callable[[], Use], *, ready_at: float, idle_ttl_s: float, max_ttl_s: float
) -> None:
    while not stop.wait(CHECK_EVERY_S):
        why = reason_to_end(use(), now=time.time(), ready_at=ready_at, idle_ttl_s=idle_ttl_s, max_ttl_s=max_ttl_s)
        if why is not None:
            log.info("ending: %s", why)
            return
    log.info("ending: asked to")


def _observer_of_use(spark: SparkSession) -> Callable[[], Use]:
    """Reads the use from the server's list of sessions and queries; a closed session counts with its last request."""
    jvm: Any = spark._jvm  # noqa: SLF001 - PySpark's documented way to Java classes
    # The Scala object's methods; PySpark itself reads the server's port in this way.
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
