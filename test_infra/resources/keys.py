"""Asset keys of services, pipelines, suites and the verdict."""

import hashlib
import re

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
    """Label of a table -> asset key of its ``source``, ``topic``, ``changes`` or ``mirror``.

    ``[pipeline, kind, table]`` in the pipeline's own schema, ``[pipeline, kind, schema, table]`` in another.
    """
    own = spec.source.schema_name
    return {
        label: dg.AssetKey(
            [spec.name, kind, *map(_part, [table.name] if table.schema == own else [table.schema, table.name])]
        )
        for label, table in spec.table_ids.items()
    }


def _part(name: str) -> str:
    """Part of an asset key: the name where Dagster accepts it, else with other characters replaced and a hash."""
    if _IDENTIFIER.fullmatch(name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
