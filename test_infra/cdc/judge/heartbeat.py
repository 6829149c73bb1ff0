"""Proves that a pipeline moves where nothing else does: heart-beats from a commit in the source to a row of a mirror.

A judge sends them when it looks, so each look is a new one. They go the way of every change, but for the decoding of a
row by the connector: parity proves that with rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.base.ids import token
from test_infra.cdc.judge import coverage
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.table import TableMissing
from test_infra.cdc.pipeline.heartbeat import TOKEN

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.sources.source import Position

LOOK_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Heartbeat:
    """What became of the heart-beats of one look.

    Args:
        slowest_s: longest time from sending one until its row was seen, by the clock of the judge.
        after: a position that every one of them is behind; None when none was sent.
        behind: why one did not arrive; empty when all did.
    """

    slowest_s: float = 0.0
    after: Position | None = None
    behind: str = ""

    @property
    def said(self) -> str:
        """In words."""
        return self.behind or f"heart-beat visible after {self.slowest_s:.2f} s"


def prove(pipeline: RunningPipeline, beats: int, timeout_s: float = coverage.DEFAULT_TIMEOUT_S) -> Heartbeat:
    """Send heart-beats, each when the one before was seen in the mirror.

    Args:
        pipeline: that has to move.
        beats: how many.
        timeout_s: what is not visible by then has not arrived, seconds.

    Raises:
        SourceUnreachable: the source did not accept a session.
    """
    deadline, slowest_s, after = Deadline(timeout_s), 0.0, None
    with pipeline.source.observe() as observer:
        try:
            coverage.wait_streaming(pipeline, observer, deadline)
            after = observer.emit_marker()
            for _ in range(beats):
                began, text = time.monotonic(), token()
                coverage.wait_committed(pipeline, observer.emit_beat(text), deadline)
                _wait_visible(pipeline, text, deadline)
                slowest_s = max(slowest_s, time.monotonic() - began)
        except NotReady as error:
            late = f"a heart-beat did not arrive in the mirror in {timeout_s:.0f} s"
            return Heartbeat(slowest_s, after, f"{late}: {coverage.one_line(error)}")
    return Heartbeat(slowest_s, after)


def _wait_visible(pipeline: RunningPipeline, text: str, deadline: Deadline) -> None:
    where, watch = pipeline.mirror(pipeline.heartbeat.label), coverage.StreamWatch(pipeline)

    def visible() -> None:
        watch.look()
        if text not in open_table(where).rows([TOKEN]).read_all()[TOKEN].to_pylist():
            raise StillWaiting("it is in Kafka, and not in the mirror")

    wait_for(
        visible,
        deadline,
        what=f"the stream of {pipeline.spec.name}",
        awaited="the heart-beat in its mirror",
        interval_s=LOOK_INTERVAL_S,
        not_yet=(TableMissing, FileNotFoundError),
    )
