"""`run --only TABLE`: the part of a Dagster job that belongs to some tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import UsageError
from test_infra.cdc.types.table_id import TableId
from test_infra.cdc.types.table_pattern import TablePattern, parse_selection

if TYPE_CHECKING:
    import dagster as dg

    from test_infra.cdc.pipeline.captured import Entry
    from test_infra.cdc.pipeline.spec import PipelineSpec

KINDS = ("source", "topic", "changes", "mirror")
"""Assets that a pipeline has once for each table."""


def part_of(job: dg.JobDefinition, only: Sequence[str]) -> dg.JobDefinition:
    """The job with the stack, the pipelines of these tables, and the assets and gates of these tables alone.

    The pipelines run as they are: the connector captures and the load writes all of their tables. What is left out are
    the other tables' assets and gates, other pipelines, suites and Spark jobs.

    Args:
        job: the whole job.
        only: tables as somebody writes them: ``orders``, ``sales.orders``, or the pattern of a pipeline's YAML.

    Raises:
        UsageError: a table belongs to no pipeline of the job, or is one of a pattern, which is one asset.
    """
    from test_infra.assets.pipeline import pipelines_in

    graph = job.asset_layer.asset_graph
    # Not only those that the job makes: the Dagster job parity looks at what is there.
    pipelines = pipelines_in(graph.get(key).metadata for key in graph.get_all_asset_keys())
    chosen = {spec.name: [label for text in only for label in labels(spec, text)] for spec in pipelines}
    if unknown := [text for text in only if not any(labels(spec, text) for spec in pipelines)]:
        raise _unknown(unknown[0], pipelines, job.name)
    kept = set(_assets(job, [spec for spec in pipelines if chosen[spec.name]], chosen))
    return job.get_subset(
        asset_selection=kept & set(job.asset_layer.executable_asset_keys),
        asset_check_selection={key for key in graph.asset_check_keys if key.asset_key in kept},
    )


def run_config(job: dg.JobDefinition, part: dg.JobDefinition) -> dict[str, Any]:
    """The job's own configuration, without that of steps which the part does not run."""
    config = dict(job.run_config or {})
    if "ops" in config:
        steps = {node.name for node in part.nodes}
        config["ops"] = {step: settings for step, settings in config["ops"].items() if step in steps}
    return config


def labels(spec: PipelineSpec, text: str) -> list[str]:
    """Lines under ``tables:`` that are meant by a written table: of the pipeline's own schema, else of any schema.

    Raises:
        UsageError: it is no name of a table.
    """
    wanted = parse_selection(text, spec.source.schema_name)
    found = [entry.label for entry in spec.entries if _means(wanted, entry)]
    if found or not isinstance(wanted, TableId) or wanted.schema != spec.source.schema_name:
        return found
    tables = [entry.selects for entry in spec.entries if isinstance(entry.selects, TableId)]
    return [table.label for table in tables if table.name == wanted.name]


def _means(wanted: TableId | TablePattern, entry: Entry) -> bool:
    if isinstance(entry.selects, TablePattern):
        return isinstance(wanted, TablePattern) and wanted.label == entry.label
    if isinstance(wanted, TablePattern):
        return wanted.matches(entry.selects)
    return (wanted.schema, wanted.name) == (entry.selects.schema, entry.selects.name)


def _assets(
    job: dg.JobDefinition, pipelines: Sequence[PipelineSpec], chosen: dict[str, list[str]]
) -> Iterator[dg.AssetKey]:
    from test_infra.assets.jobs import STACK_GROUP
    from test_infra.resources.keys import VERDICT, connector_key, load_key, stream_key, table_keys

    yield VERDICT
    for key in job.asset_layer.asset_graph.get_all_asset_keys():
        if key.path[0] == STACK_GROUP:
            yield key
    for spec in pipelines:
        yield connector_key(spec.name)
        yield stream_key(spec.name)
        if spec.load:
            yield load_key(spec.name)
        for kind in KINDS:
            keys = table_keys(spec, kind)
            yield from (keys[label] for label in chosen[spec.name])


def _unknown(text: str, pipelines: Sequence[PipelineSpec], job: str) -> UsageError:
    for spec in pipelines:
        wanted = parse_selection(text, spec.source.schema_name)
        for entry in spec.entries:
            pattern = entry.selects
            if isinstance(wanted, TableId) and isinstance(pattern, TablePattern) and pattern.matches(wanted):
                return UsageError(
                    f"table {text} is one of the pattern {entry.label} of pipeline {spec.name}; they are one asset",
                    hint=f"--only '{entry.label}', or name the table under `tables:` beside the pattern",
                )
    known = [f"{entry.label} ({spec.name})" for spec in pipelines for entry in spec.entries]
    return UsageError(
        f"no pipeline of {job} has a table {text}",
        details={"known": ", ".join(known) or "none"},
        hint="the name as it is under `tables:`, or with its schema: sales.orders",
    )
