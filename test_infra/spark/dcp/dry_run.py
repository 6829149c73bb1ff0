"""The dry run of a CoreETL job: every step is checked over Spark Connect, and no row is computed or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.deadline import Deadline
from test_infra.base.errors import BadDocument, FieldProblem
from test_infra.spark.dcp import etl
from test_infra.spark.dcp.manifest import Manifest, resources_of
from test_infra.spark.dcp.yaml_document import FieldPath, YamlDocument
from test_infra.spark.gateway.connect_servers import ConnectServers, ConnectSpec, open_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

JOB_SPEC: tuple[str, ...] = ("spec", "coreEtl", "jobSpec")
"""Where a manifest holds its CoreETL specification."""
READY_WITHIN_S = 180.0
HOT_IDLE_TTL_S = 1_800.0
"""How long an unused Connect server is kept for the next dry run, seconds."""


@dataclass(frozen=True)
class DryRunStep:
    """One source, transformation or sink that would work.

    Args:
        step: such as ``source orders``.
        columns: name -> Spark type of its rows; of a sink: of the rows that it gets.
        plan: Spark's plan of a transformation; empty for the others.
    """

    step: str
    columns: dict[str, str]
    plan: str = ""


def dry_run(manifest: Manifest, path: Path, servers: ConnectServers) -> list[DryRunStep]:
    """Check a manifest's CoreETL job against the existing data: schemas, EXPLAIN, LIMIT 0, columns of the sinks.

    Args:
        manifest: as it was read.
        path: its file, to name the line of a mistake.
        servers: where a Connect server of the same size and properties is found or started.

    Raises:
        BadDocument: names what would not work, with file and line.
        ServerFailed: the Connect server ended.
        NotReady: the Connect server was not ready in time.
    """
    spec = manifest.spec.core_etl.job_spec.filled()
    wanted = ConnectSpec(
        name=f"test-{manifest.metadata.name}"[:100],
        team=manifest.metadata.team,
        owner=manifest.metadata.owner,
        conf={**(etl.DELTA_CONF if spec.uses_delta else {}), **manifest.spec.spark_config},
        resources=resources_of(manifest),
        jar_groups=(etl.DELTA_JARS,) if spec.uses_delta else (),
        idle_ttl_s=HOT_IDLE_TTL_S,
    )
    server = servers.find_like(wanted) or servers.start(wanted)
    session = open_session(servers.wait_ready(server.id, Deadline(READY_WITHIN_S)))
    try:
        return dry_run_steps(session, spec, YamlDocument(path))
    finally:
        session.stop()
        if not manifest.spec.testing_mode.use_hot_cluster:
            servers.stop(server.id, team=manifest.metadata.team)


def dry_run_steps(spark: SparkSession, spec: etl.EtlSpec, document: YamlDocument) -> list[DryRunStep]:
    """Check every step of a specification in order, up to the first that fails.

    Raises:
        BadDocument: names the step, with file and line and Spark's own words.
    """
    found: list[DryRunStep] = []
    rows: Any = None
    for number, source in enumerate(spec.sources):
        rows = _or_refused(document, ("sources", number), partial(_read, spark, source))
        found.append(DryRunStep(f"source {source.name or etl.SOURCE}", _columns(rows)))
    for number, transformation in enumerate(spec.transformations):
        query = ("transformations", number, "query")
        plan = _or_refused(document, query, partial(_explained, spark, etl.select(transformation)))
        rows = _or_refused(document, query, partial(_transformed, spark, transformation))
        found.append(DryRunStep(f"transformation {transformation.name or number + 1}", _columns(rows), plan))
    for number, sink in enumerate(spec.sinks):
        problems = _or_refused(document, ("sinks", number), partial(sink_problems, spark, sink, _columns(rows)))
        if problems:
            found_in = [document.problem((*JOB_SPEC, "sinks", number, *field), text) for field, text in problems]
            raise BadDocument(str(document.path), found_in)
        found.append(DryRunStep(f"sink {sink.path or sink.identifier}", _columns(rows)))
    return found


def sink_problems(spark: SparkSession, sink: etl.Sink, columns: dict[str, str]) -> list[tuple[Sequence[str], str]]:
    """Why a sink would refuse rows of these columns: field of the sink, and what is wrong.

    Args:
        spark: a session, to read the columns that the sink has already.
        sink: where the rows are to go.
        columns: of the rows, name -> Spark type.
    """
    found: list[tuple[Sequence[str], str]] = [
        (("partitionBy",), f"the result has no column {name!r}; it has {', '.join(columns)}")
        for name in sink.partition_by
        if name not in columns
    ]
    if sink.mode is etl.SinkMode.OVERWRITE or sink.type in {etl.Format.CSV, etl.Format.JSON}:
        return found
    for name, kind in _existing_columns(spark, sink).items():
        if name not in columns:
            found.append(((), f"it has a column {name!r} ({kind}) which the result lacks"))
        elif columns[name] != kind:
            found.append(((), f"its column {name!r} is {kind}, the result's is {columns[name]}"))
    return found


def _existing_columns(spark: SparkSession, sink: etl.Sink) -> dict[str, str]:
    """Columns that the sink has; none where it does not exist yet."""
    from pyspark.errors import AnalysisException

    try:
        if sink.path is None:
            return _columns(spark.table(sink.identifier))
        return _columns(spark.read.format(sink.type.value).load(sink.path))
    except AnalysisException as error:
        if error.getCondition() in _DOES_NOT_EXIST:
            return {}
        raise


_DOES_NOT_EXIST = {
    "TABLE_OR_VIEW_NOT_FOUND",
    "PATH_NOT_FOUND",
    "UNABLE_TO_INFER_SCHEMA",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_MISSING_DELTA_TABLE",
}


def _read(spark: SparkSession, source: etl.Source) -> DataFrame:
    return _after_reading_no_rows(etl.read(spark, source))


def _transformed(spark: SparkSession, transformation: etl.Transformation) -> DataFrame:
    return _after_reading_no_rows(etl.transform(spark, transformation))


def _after_reading_no_rows(rows: DataFrame) -> DataFrame:
    """The same rows, after a LIMIT 0 query: it fails where files, columns or rights are missing."""
    rows.limit(0).collect()
    return rows


def _explained(spark: SparkSession, query: str) -> str:
    return str(spark.sql(f"EXPLAIN {query}").collect()[0]["plan"])


def _columns(rows: DataFrame) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields}


def _or_refused(document: YamlDocument, field: FieldPath, check: Callable[[], Any]) -> Any:
    from pyspark.errors import PySparkException

    try:
        return check()
    except PySparkException as error:
        first_line = str(error).strip().partition("\n")[0]
        problem: FieldProblem = document.problem((*JOB_SPEC, *field), first_line)
        raise BadDocument(str(document.path), [problem]) from error
