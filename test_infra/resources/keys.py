"""Asset keys of services, pipelines, suites and the verdict."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import dagster as dg

from test_infra.cdc.pipeline.spec import PipelineSpec

_IDENTIFIER = re.compile(r"[A-Za-z0-9_]+")


def service_key(service: str) -> dg.AssetKey:
    """A service of the stack."""
    return dg.AssetKey(["stack", service])


def suite_key(suite: str) -> dg.AssetKey:
    """A test suite."""
    return dg.AssetKey(["suites", suite])


VERDICT = dg.AssetKey(["verdict"])


def connector_key(pipeline: str) -> dg.AssetKey:
    """The connector of a pipeline."""
    return dg.AssetKey([pipeline, "connector"])


def stream_key(pipeline: str) -> dg.AssetKey:
    """The stream of a pipeline."""
    return dg.AssetKey([pipeline, "stream"])


def load_key(pipeline: str) -> dg.AssetKey:
    """The load of a pipeline."""
    return dg.AssetKey([pipeline, "load"])


def table_keys(spec: PipelineSpec, kind: str) -> dict[str, dg.AssetKey]:
    """Table -> asset key of its ``source``, ``topic``, ``changes`` or ``mirror``."""
    return {table: dg.AssetKey([spec.name, kind, part]) for table, part in table_parts(spec.tables).items()}


def table_parts(tables: Sequence[str]) -> Mapping[str, str]:
    """Table -> its part of an asset key: its name where Dagster accepts it, else the name with other characters
    replaced and a hash appended.
    """
    return {table: table if _IDENTIFIER.fullmatch(table) else _replaced(table) for table in tables}


def _replaced(table: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', table)}_{hashlib.sha256(table.encode()).hexdigest()[:6]}"
