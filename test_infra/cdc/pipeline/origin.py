"""Where a lake and a checkpoint come from: written down at the first start, compared at every later one.

A change log continues what one source keeps for the connector, and one topic per table. When any of them was replaced
meanwhile, going on would leave rows of the old one behind, or leave out what happened between, and look healthy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import write_private
from test_infra.cdc.sources.origin import Break, SourceOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "origin.json"

BEGIN_ANEW = "begin anew: `test-infra down`, then up - or another name for the pipeline; see docs/continuity.md"


class Discontinuity(InfrastructureError):
    """Source, topics, checkpoint and lake do not belong together, so changes may be lost: nothing is started."""

    def __init__(self, pipeline: str, breaks: Iterable[Break]) -> None:
        found = list(breaks)
        super().__init__(
            f"pipeline {pipeline} cannot go on from where it was: {found[0].part}: {found[0].what}",
            details={item.part: item.what for item in found[1:]},
            hint=BEGIN_ANEW,
        )


class Origin(Document):
    """What a lake and a checkpoint were made from.

    Args:
        source: which source, which tables.
        topics: topic -> Kafka's id; another after the topic was deleted and made again. Empty until the topics exist.
    """

    source: SourceOrigin
    topics: dict[str, str] = {}

    def breaks(self, now: Origin) -> list[Break]:
        """What was replaced since this origin was written down."""
        return self.source.breaks(now.source) + [
            Break(f"topic {topic}", "it was deleted and made again: records that it had may never have been read")
            for topic, topic_id in now.topics.items()
            if self.topics.get(topic, topic_id) != topic_id
        ]

    def write(self, folder: Path) -> None:
        """Write it down in a folder, whole or not at all."""
        write_private(folder / FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> Origin | None:
        """What was written down in a folder; None when nothing was.

        Raises:
            InfrastructureError: the file is there and cannot be read.
        """
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            raise InfrastructureError(
                "the origin of a lake or checkpoint cannot be read",
                details={"file": str(path), "seen": str(error).splitlines()[0]},
                hint=BEGIN_ANEW,
            ) from error
