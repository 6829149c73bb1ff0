"""Progress of a Dagster run on stderr, read from its event log in a thread beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    import dagster as dg

LOOK_EVERY_S = 0.3
ENDED = {"STEP_SUCCESS": "ok", "STEP_FAILURE": "FAILED", "STEP_SKIPPED": "skipped"}


@contextlib.contextmanager
def watched(instance: dg.DagsterInstance, run_id: str, progress: Progress) -> Iterator[None]:
    """While the block runs, every step that begins or ends is shown."""
    ended = threading.Event()
    with progress.doing("starting the run") as now:
        thread = threading.Thread(
            target=_follow, args=(instance, run_id, progress, now, ended), name="steps", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=5)


def _follow(
    instance: dg.DagsterInstance, run_id: str, progress: Progress, now: Callable[[str], None], ended: threading.Event
) -> None:
    cursor: str | None = None
    last_look = False
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, limit=500)
        cursor = page.cursor
        for record in page.records:
            _show(record.event_log_entry.dagster_event, progress, now)
        if page.has_more:
            continue
        if last_look:
            return
        last_look = ended.wait(LOOK_EVERY_S)


def _show(event: dg.DagsterEvent | None, progress: Progress, now: Callable[[str], None]) -> None:
    if event is None or event.step_key is None:
        return
    kind = event.event_type_value
    if kind == "STEP_START":
        now(event.step_key)
    elif kind in ENDED:
        took = f"{event.step_success_data.duration_ms / 1_000:6.1f} s" if kind == "STEP_SUCCESS" else " " * 8
        progress.say(f"  {ENDED[kind]:<8}{took}  {event.step_key}")
