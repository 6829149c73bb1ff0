"""SQL files as tools write them: read whole, refused with file and line before anything is executed, then run."""

from __future__ import annotations

from test_infra.cdc.sources.postgres.sql_file.read import read
from test_infra.cdc.sources.postgres.sql_file.run import run
from test_infra.cdc.sources.postgres.sql_file.scan import Statement

__all__ = ["Statement", "read", "run"]
