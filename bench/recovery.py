"""Kills a part of a working pipeline with SIGKILL and looks when the lag was small again."""

from __future__ import annotations

import signal
import time

from workload import TABLE, Writer, lags_since

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import coverage
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.stream.control import SparkStream

RATE_PER_S = 100
BACK_BELOW_S = 1.0
"""A lag that a pipeline at rest on this machine never has."""
WARM_UP_S = 8.0
AFTERWARDS_S = 20.0
ENDED_WITHIN_S = 30.0
SETTLED_WITHIN_S = 120.0


def recovered(pipeline: RunningPipeline, part: str) -> float:
    """Seconds from the kill of ``part`` until every later change was visible in the mirror within a second.

    A killed service is started again by its keeper; a killed driver is submitted again at once, as a nightly does.
    """
    with Writer(pipeline, RATE_PER_S):
        time.sleep(WARM_UP_S)
        killed_at = time.time()
        if part == "stream":
            stream = SparkStream(pipeline)
            stream.kill()
            stream.submit_after_end(Deadline(ENDED_WITHIN_S))
        else:
            pipeline.stack.runtime.signal(part, signal.SIGKILL)
        time.sleep(AFTERWARDS_S)
    _, behind = coverage.advance(pipeline, [TABLE], SETTLED_WITHIN_S)
    if behind:
        raise SystemExit(f"after the kill of {part} the stream fell behind: {behind}")
    late = [seen_at for seen_at, lag_s in lags_since(pipeline, killed_at - WARM_UP_S / 2) if lag_s > BACK_BELOW_S]
    return max([*late, killed_at]) - killed_at
