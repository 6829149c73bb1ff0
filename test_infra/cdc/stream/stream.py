"""What a stream is to the rest of the house: started, stopped, watched, and asked how far its tables are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from test_infra.base.errors import InfrastructureError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from test_infra.base.deadline import Deadline
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.types.table import TableSchema
    from test_infra.spark.gateway.execution import Execution


class StreamFailed(InfrastructureError):
    """The stream's driver ended, or never began."""


class StreamMissing(InfrastructureError):
    """The pipeline's stream was never submitted in this stack."""


@dataclass(frozen=True)
class Covered:
    """How far one table's sink is.

    Args:
        watermark: partition -> end offset of the topic; everything up to the marker lies below.
        applied: partition -> end offset that the mirror's version has applied; covers the watermark.
        mirror_version: first version of the mirror that covers the watermark.
        changes_version: first version of the change log that covers ``applied``.
    """

    watermark: dict[int, int]
    applied: dict[int, int]
    mirror_version: int
    changes_version: int

    def below_applied_sql(self) -> str:
        """Condition on ``kafka_partition, kafka_offset``: what the mirror's version has applied, exactly."""
        parts = (f"(kafka_partition = {part} AND kafka_offset < {end})" for part, end in self.applied.items())
        return f"({' OR '.join(parts) or 'false'})"


class Stream(Protocol):
    """The program that turns a pipeline's topics into its tables.

    But for `submit`, `start` and `covered`, everything raises `StreamMissing` when it was never submitted.
    """

    def submit(self) -> str:
        """Start it early, before there is a topic or a table; returns its id. One that lives already is that one."""

    def start(self, schemas: Sequence[TableSchema]) -> str:
        """Start it where it does not live, and let it begin with these tables; returns its id."""

    def wait_ready(self, deadline: Deadline) -> datetime:
        """Wait for its first progress and return its time.

        Raises:
            StreamFailed: it ended; carries its last words.
            NotReady: no progress in time.
        """

    def ready_at(self) -> datetime:
        """When it made its first progress; lag is measured on changes committed after it.

        Raises:
            StreamFailed: it has made none.
        """

    def alive(self) -> bool:
        """Whether it runs, or is about to."""

    def newest(self) -> Execution:
        """Its newest submission, with the state brought up to date.

        Raises:
            StreamMissing: it was never submitted.
        """

    def stop(self) -> Execution:
        """End it cleanly: what it has begun is finished and committed first. One that has ended is left as it is.

        Raises:
            StreamMissing: it was never submitted.
        """

    def kill(self) -> None:
        """End it at once, with nothing finished; for fault tests."""

    def restart(self) -> str:
        """Stop it if it lives and start it again from where it was; returns the new id."""

    def log_path(self) -> Path:
        """What it prints."""

    def covered(self, table: str, watermark: Mapping[int, int]) -> Covered | str:
        """The first versions of a table that contain everything below the watermark; a text when none does yet.

        Args:
            table: label of a captured table.
            watermark: partition of its topic -> end offset.
        """


def stream_of(pipeline: RunningPipeline) -> Stream:
    """The stream of a pipeline, as its spec says."""
    from test_infra.cdc.stream.control import SparkStream

    return SparkStream(pipeline)
