"""A pipeline as assets: source tables -> connector -> topics -> stream -> change log and mirror, and the load on it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from test_infra.assets.step import OWNERS, step
from test_infra.base.deadline import Deadline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.resources.keys import connector_key, load_key, service_key, stream_key, table_keys
from test_infra.resources.stack import StackResource

if TYPE_CHECKING:
    from test_infra.cdc.load.run import Refusals
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.types.table import TableSchema

PIPELINE = "test_infra/pipeline"
"""Metadata of a stream asset: the pipeline it belongs to. A step that needs the pipelines of its Dagster job finds
them there.
"""
STREAM_TIMEOUT_S = 120.0
LOAD_TIMEOUT_S = 300.0

Result = dg.MaterializeResult[None]


class LoadConfig(dg.Config):
    """Settings of the load for one run."""

    operations: int | None = Field(
        default=None, ge=1, description="Operations of the first, fast part. None: what the pipeline says."
    )


def cdc_pipeline(spec: PipelineSpec) -> list[dg.AssetsDefinition]:
    """Every asset of a pipeline.

    Args:
        spec: the pipeline, with absolute paths.
    """
    assets = [
        _source(spec),
        _connector(spec),
        _topics(spec),
        _stream(spec),
        _tables(spec, "changes"),
        _tables(spec, "mirror"),
    ]
    return [*assets, _load(spec)] if spec.load else assets


def pipelines_of(job: dg.JobDefinition) -> list[PipelineSpec]:
    """The pipelines whose stream a Dagster job runs."""
    layer = job.asset_layer
    return pipelines_in([layer.asset_graph.get(key).metadata for key in layer.executable_asset_keys])


def pipelines_in(metadata: Iterable[Mapping[str, Any]]) -> list[PipelineSpec]:
    """The pipelines whose stream is among the assets with this metadata."""
    found = [of_asset.get(PIPELINE) for of_asset in metadata]
    return [PipelineSpec.model_validate(value.value) for value in found if isinstance(value, dg.JsonMetadataValue)]


def _source(spec: PipelineSpec) -> dg.AssetsDefinition:
    keys = table_keys(spec, "source")

    @dg.multi_asset(
        name=f"{spec.name}__source",
        can_subset=True,
        specs=[
            dg.AssetSpec(
                key,
                deps=[service_key(spec.source.service)],
                description=(
                    f"The table {table} (or each table of that pattern) exists, has a key and is in the "
                    "publication; the capture role may "
                    "read it and nothing else."
                ),
                group_name=spec.name,
                kinds={"postgres", "table"},
                owners=[*OWNERS],
            )
            for table, key in keys.items()
        ],
    )
    def source(context: dg.AssetExecutionContext, stack: StackResource) -> Iterator[Result]:
        from test_infra.cdc.load.prepare import prepare

        with step(context, stack, f"{spec.name}__source", _paths(keys)):
            pipeline = attached(stack, spec)
            schemas = {schema.label: schema for schema in prepare(pipeline)}
            for entry, key in keys.items():
                if key in context.selected_asset_keys:
                    described = [schemas[table.id.label] for table in pipeline.captured[entry]]
                    yield Result(key, metadata=_source_metadata(described))

    return source


def _connector(spec: PipelineSpec) -> dg.AssetsDefinition:
    key = connector_key(spec.name)

    @dg.asset(
        key=key,
        deps=[*table_keys(spec, "source").values(), service_key("kafka"), service_key("connect")],
        description=(
            "The Debezium connector and every one of its tasks run and the replication slot is active. Its "
            "configuration was validated by "
            "Connect first, and its topics were made first. Look at GET /connectors/<name>/status and at the log "
            "of Connect."
        ),
        group_name=spec.name,
        kinds={"debezium"},
        owners=[*OWNERS],
    )
    def connector(context: dg.AssetExecutionContext, stack: StackResource) -> Result:
        from test_infra.cdc.pipeline import connector as debezium

        with step(context, stack, f"{spec.name}__connector", [key.to_user_string()]):
            pipeline = attached(stack, spec)
            debezium.create(pipeline, pipeline.schemas())
            names = pipeline.names
            return Result(
                metadata={
                    "connector": names.connector,
                    **pipeline.source.names(),
                    "topic_prefix": names.topic_prefix,
                    "url": f"{pipeline.endpoint('connect').url}/connectors/{names.connector}",
                }
            )

    return connector


def _topics(spec: PipelineSpec) -> dg.AssetsDefinition:
    keys = table_keys(spec, "topic")

    @dg.multi_asset(
        name=f"{spec.name}__topic",
        can_subset=True,
        specs=[
            dg.AssetSpec(
                key,
                deps=[connector_key(spec.name)],
                description=f"The Kafka topic that carries the changes of {table}; its end offsets are in the "
                "metadata.",
                group_name=spec.name,
                kinds={"kafka"},
                owners=[*OWNERS],
            )
            for table, key in keys.items()
        ],
    )
    def topic(context: dg.AssetExecutionContext, stack: StackResource) -> Iterator[Result]:
        from test_infra.cdc.pipeline.topics import end_offsets_of

        with step(context, stack, f"{spec.name}__topic", _paths(keys)):
            pipeline = attached(stack, spec)
            ends = end_offsets_of(pipeline.bootstrap, [pipeline.topic(table) for table in pipeline.tables])
            for entry, key in keys.items():
                if key in context.selected_asset_keys:
                    topics = [pipeline.topic(table.id.label) for table in pipeline.captured[entry]]
                    yield Result(
                        key,
                        metadata={
                            "topic": ", ".join(topics),
                            "partitions": sum(len(ends[topic]) for topic in topics),
                            "records": sum(sum(ends[topic].values()) for topic in topics),
                        },
                    )

    return topic


def _stream(spec: PipelineSpec) -> dg.AssetsDefinition:
    key = stream_key(spec.name)

    @dg.asset(
        key=key,
        deps=list(table_keys(spec, "topic").values()),
        metadata={PIPELINE: dg.MetadataValue.json(spec.model_dump(mode="json"))},
        description=(
            "The Spark application that reads the topics and writes change log and mirror has made its first progress. "
            "Its log is at the path in the metadata."
        ),
        group_name=spec.name,
        kinds={"spark"},
        owners=[*OWNERS],
    )
    def stream(context: dg.AssetExecutionContext, stack: StackResource) -> Result:
        with step(context, stack, f"{spec.name}__stream", [key.to_user_string()]):
            return Result(metadata=_run_stream(attached(stack, spec)))

    return stream


def _load(spec: PipelineSpec) -> dg.AssetsDefinition:
    key = load_key(spec.name)

    @dg.asset(
        key=key,
        deps=[stream_key(spec.name)],
        description=(
            "A seeded workload ran on the source and goes on at a lower rate while the gates look. Every operation "
            "is written down as ok, "
            "failed or unknown in the history at the path in the metadata."
        ),
        group_name=spec.name,
        kinds={"postgres"},
        owners=[*OWNERS],
    )
    def load(context: dg.AssetExecutionContext, config: LoadConfig, stack: StackResource) -> Result:
        from test_infra.cdc.load import control

        with step(context, stack, f"{spec.name}__load", [key.to_user_string()]):
            pipeline = attached(stack, spec)
            control.start(pipeline, operations=config.operations)
            status = control.wait_bulk(
                pipeline, Deadline(LOAD_TIMEOUT_S if spec.load is None else control.longest_s(spec.load))
            )
            return Result(
                metadata={
                    "operations_done": status.operations_done,
                    "ok": status.ok,
                    "failed_on_purpose": status.failed - status.refused,
                    "refused": status.refused,
                    **_refusals(status.refusals),
                    "unknown": status.unknown,
                    "seed": spec.load.seed if spec.load else 0,
                    "history": dg.MetadataValue.path(str(pipeline.folders.history)),
                }
            )

    return load


def _refusals(refused: "Mapping[str, list[Refusals]]") -> dict[str, str]:
    return {
        f"refused in {table}": "; ".join(f"{refusal.count} times {refusal.words}" for refusal in refusals)
        for table, refusals in refused.items()
    }


def _tables(spec: PipelineSpec, kind: str) -> dg.AssetsDefinition:
    keys = table_keys(spec, kind)
    after = [stream_key(spec.name), *([load_key(spec.name)] if spec.load else [])]

    @dg.multi_asset(
        name=f"{spec.name}__{kind}",
        can_subset=True,
        specs=[
            dg.AssetSpec(
                key,
                deps=after,
                description=_TABLES[kind].format(table=table),
                group_name=spec.name,
                kinds={"deltalake"},
                owners=[*OWNERS],
            )
            for table, key in keys.items()
        ],
    )
    def tables(context: dg.AssetExecutionContext, stack: StackResource) -> Iterator[Result]:
        with step(context, stack, f"{spec.name}__{kind}", _paths(keys)):
            pipeline = attached(stack, spec)
            for entry, key in keys.items():
                if key in context.selected_asset_keys:
                    tables = [table.id.label for table in pipeline.captured[entry]]
                    yield Result(key, metadata=_lake_metadata(pipeline, kind, tables))

    return tables


_TABLES = {
    "changes": "The change log of {table}: one row for each change event, with its Kafka coordinates. Version, "
    "rows and applied offsets "
    "as seen in this run are in the metadata.",
    "mirror": "The mirror of {table}: equal to the source table at some cut, with the position of each row's last "
    "change. Version, rows and "
    "applied offsets as seen in this run are in the metadata.",
}


def attached(stack: StackResource, spec: PipelineSpec) -> "RunningPipeline":
    """The pipeline in the running stack.

    Raises:
        StackNotRunning: the stack does not run.
    """
    from test_infra.cdc.pipeline.running import RunningPipeline

    return RunningPipeline(stack.attach(), spec)


def _run_stream(pipeline: "RunningPipeline") -> dict[str, str]:
    from test_infra.cdc.stream.stream import stream_of

    stream = stream_of(pipeline)
    stream.start(pipeline.schemas())
    return {"ready_at": stream.wait_ready(Deadline(STREAM_TIMEOUT_S)).isoformat()}


def _source_metadata(schemas: Sequence["TableSchema"]) -> dict[str, Any]:
    """What is captured of a table, or of each table of a pattern."""
    if len(schemas) == 1:
        (schema,) = schemas
        return {"dagster/column_schema": column_schema(schema), **_not_captured(schema)}
    return {
        "tables": dg.MetadataValue.table(
            [
                dg.TableRecord({"table": schema.label, "columns": str(len(schema.columns)), **_not_captured(schema)})
                for schema in schemas
            ]
        )
    }


def _not_captured(schema: "TableSchema") -> dict[str, str]:
    left_out = {what.replace(" ", "_"): which for what, which in schema.left_out.items()}
    return {"generated_columns_not_captured": ", ".join(schema.generated) or "none", **left_out}


def _lake_metadata(pipeline: "RunningPipeline", kind: str, tables: Sequence[str]) -> dict[str, dg.MetadataValue]:
    """What a table of the lake is now, or each table of a pattern."""
    described = {table: _table_metadata(pipeline, kind, table) for table in tables}
    if len(described) == 1:
        return described[tables[0]]
    counts = [found["dagster/row_count"].value for found in described.values()]
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(count for count in counts if isinstance(count, int))),
        "tables": dg.MetadataValue.table(
            [
                dg.TableRecord({"table": table, **{name: str(value.value) for name, value in found.items()}})
                for table, found in described.items()
            ]
        ),
    }


def _table_metadata(pipeline: "RunningPipeline", kind: str, table: str) -> dict[str, dg.MetadataValue]:
    from test_infra.cdc.lake.open import open_table

    location = pipeline.changes(table) if kind == "changes" else pipeline.mirror(table)
    opened = open_table(location)
    latest = opened.commits()[-1]
    return {
        "dagster/row_count": dg.MetadataValue.int(open_table(location, latest.version).dataset().count_rows()),
        "version": dg.MetadataValue.int(latest.version),
        "offsets": dg.MetadataValue.json({str(partition): end for partition, end in latest.offsets.items()}),
        "visible_at": dg.MetadataValue.timestamp(latest.visible_at),
        "path": dg.MetadataValue.path(str(location)),
    }


def column_schema(schema: "TableSchema") -> dg.TableSchema:
    """A table's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, constraints=dg.TableColumnConstraints(nullable=column.nullable))
            for column in schema.columns
        ]
    )


def _paths(keys: Mapping[str, dg.AssetKey]) -> list[str]:
    return [key.to_user_string() for key in keys.values()]
