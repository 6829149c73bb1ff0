"""Console commands and their exit codes."""

from test_infra.cli.entry import main

__all__ = ["main"]
