"""What the tables of a pipeline were when its source was prepared: what the lake is made from."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from test_infra.base.paths import write_private
from test_infra.cdc.sources.table_state import TableState, TableStates

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline

DOCUMENT = "table-states"


def remember(pipeline: RunningPipeline) -> None:
    """Write down what the tables are. A table that is in the lake already stays as it was when that began."""
    before = remembered(pipeline) if pipeline.folders.lake.exists() else {}
    states = TableStates(tables={**pipeline.source.table_states({}), **before})
    write_private(pipeline.document_path(DOCUMENT), states.model_dump_json(indent=1))


def remembered(pipeline: RunningPipeline) -> dict[str, TableState]:
    """Label -> the table when the pipeline was prepared; empty when that is not on record."""
    with suppress(OSError, ValidationError):
        return TableStates.model_validate_json(pipeline.document_path(DOCUMENT).read_bytes()).tables
    return {}
