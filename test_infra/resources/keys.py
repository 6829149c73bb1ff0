"""Asset keys of services, pipelines, suites and the verdict."""

import hashlib
import re

import dagster as dg

from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.types.table_id import TableId
from test_infra.cdc.types.table_pattern import TablePattern

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
    """Label of a line under ``tables:`` -> asset key of its ``source``, ``topic``, ``changes`` or ``mirror``.

    ``[pipeline, kind, table]`` in the pipeline's own schema, ``[pipeline, kind, schema, table]`` in another. The tables
    of a pattern are known only once the source can be asked, so they share one asset, named by the pattern.
    """
    return {
        entry.label: dg.AssetKey([spec.name, kind, *map(_part, _names(entry.selects, spec.source.schema_name))])
        for entry in spec.entries
    }


def _names(selects: TableId | TablePattern, own_schema: str) -> list[str]:
    if isinstance(selects, TablePattern):
        return [selects.label]
    return [selects.name] if selects.schema == own_schema else [selects.schema, selects.name]


def _part(name: str) -> str:
    """Part of an asset key: the name where Dagster accepts it, else with other characters replaced and a hash."""
    if _IDENTIFIER.fullmatch(name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
