"""Dagster's entry point of the built-in project. Loading it starts nothing, opens no socket and needs neither Java nor
credentials.
"""

import warnings
from importlib import import_module
from pathlib import Path

import dagster as dg

from test_infra.components.project import complete


@dg.definitions
def defs() -> dg.Definitions:
    """Everything below ``defs/``, and what only the whole has."""
    with warnings.catch_warnings():
        # As `dg.load_from_defs_folder` does: they are about Dagster's own code.
        warnings.simplefilter("ignore", DeprecationWarning)
        return complete(tree().build_defs())


def tree() -> dg.ComponentTree:
    """The components below ``defs/``. An installed package has no ``pyproject.toml`` beside it to name them."""
    below = import_module("test_infra.defs")
    return dg.ComponentTree.from_module(defs_module=below, project_root=Path(__file__).parent)
