"""Dagster's entry point. Loading it starts nothing, opens no socket and needs neither Java nor credentials."""

from pathlib import Path

import dagster as dg

from test_infra.components.project import complete


@dg.definitions
def defs() -> dg.Definitions:
    """Everything below ``defs/``, and what only the whole has."""
    return complete(dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs"))
