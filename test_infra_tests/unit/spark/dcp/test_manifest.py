from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_infra.base.errors import BadDocument, UsageError
from test_infra.spark.dcp.etl import EtlSpec
from test_infra.spark.dcp.manifest import read_job, read_manifest
from test_infra.spark.job.spec import Jar, PythonFile, PythonModule, RestartWhen

EXAMPLE = Path(__file__).parents[4] / "examples" / "03-dcp-job" / "manifest.yaml"

PUBLISHED = """\
# The published example of the manifest's original, word for word but for its comments.
apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: example-data-transform
  namespace: platform
  team: data-infra
  owner: data-infra@doordash.com
spec:
  engine:
    version: "3.5"
    image_override: null
  resources:
    driver:
      cores: 2
      memory: "4g"
      memoryOverhead: "1g"
    executors:
      instances: 5
      cores: 4
      memory: "8g"
      memoryOverhead: "2g"
  jobType: batch
  sparkConnect:
    enabled: true
    port: 15002
  testingMode:
    useHotCluster: true
    sandboxEnabled: true
  coreEtl:
    jarPath: "/core-etl/core-etl-driver-bundle.jar"
    mainClass: "com.doordash.coreetl.spark.Main"
    jobSpec:
      name: "example-data-transform"
      sources:
        - type: iceberg
          catalog: pedregal
          database: raw
          table: events
          filter: "event_date >= current_date - interval 7 days"
      transformations:
        - type: sql
          query: |
            SELECT event_id, payload FROM source
            WHERE event_type IN ('order_created', 'order_completed')
      sinks:
        - type: iceberg
          catalog: pedregal
          database: derived
          table: processed_events
          mode: append
          partitionBy:
            - event_date
  sparkConfig:
    spark.sql.shuffle.partitions: "200"
    spark.serializer: "org.apache.spark.serializer.KryoSerializer"
  orchestration:
    schedule: "0 */6 * * *"
    retryPolicy:
      maxRetries: 3
      retryDelayMinutes: 5
    alerting:
      onFailure: true
      channels:
        - slack:data-infra-alerts
  observability:
    otelEnabled: true
    metricsPrefix: "spark.job.example_transform"
    logsEnabled: true
"""


def file(folder: Path, text: str = PUBLISHED, name: str = "manifest.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_published_manifest_becomes_a_job(tmp_path: Path) -> None:
    job = read_job(file(tmp_path), tmp_path / "specs")
    assert (job.name, job.team, job.owner) == ("example-data-transform", "data-infra", "data-infra@doordash.com")
    assert job.application == Jar(
        jar="/core-etl/core-etl-driver-bundle.jar", main_class="com.doordash.coreetl.spark.Main"
    )
    assert (job.spark_version, job.type.value) == ("3.5", "BATCH")
    assert job.resources.driver.model_dump() == {"cores": 2, "memory_mib": 4096, "overhead_mib": 1024}
    assert job.resources.executor.model_dump() == {
        "instances": 5, "cores": 4, "memory_mib": 8192, "overhead_mib": 2048,
    }  # fmt: skip
    assert job.conf["spark.sql.shuffle.partitions"] == "200"
    assert (job.restart.when, job.restart.application_failures, job.restart.backoff_s) == (
        RestartWhen.ON_FAILURE, 3, 300,
    )  # fmt: skip
    assert job.labels["schedule"] == "0 */6 * * *"
    [argument] = job.args
    etl = EtlSpec.model_validate_json(Path(argument).read_text())
    assert etl.sources[0].identifier == "`pedregal`.`raw`.`events`"
    assert etl.sinks[0].partition_by == ("event_date",)
    assert Path(argument).stat().st_mode & 0o777 == 0o600
    assert read_job(file(tmp_path), tmp_path / "specs") == job


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("cores: 2\n", "cores: two\n", 15, "valid integer"),
        ('memory: "8g"', 'memory: "8 GB"', 21, "no size such as 512m or 4g"),
        ("kind: SparkJob", "kind: FlinkJob", 3, "SparkJob"),
        ("dcp.pedregal.doordash.com/v1", "v2", 2, "dcp.pedregal.doordash.com/v1"),
        ("  team: data-infra\n", "", 4, "Field required"),
        ("  jobType: batch", "  jobtype: batch", 23, "Extra inputs"),
        ("- type: sql", "- type: magic", 42, "'sql'"),
        ("          mode: append", "          mode: upsert", 51, "'append' or 'overwrite'"),
        ("          table: events\n", "          path: /events\n", 36, "not by path"),
        ("spark.serializer", "spark.jars.packages", 56, "it loads code"),
        ('    mainClass: "com.doordash.coreetl.spark.Main"\n', "", 30, "belong together"),
        ("image_override: null", "image_override: acme/spark", 12, "container backend"),
        ("metadata:", "metadata: [", 6, "expected"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in PUBLISHED
    path = file(tmp_path, PUBLISHED.replace(old, new, 1))
    with pytest.raises(BadDocument) as refused:
        read_manifest(path)
    places = {place: text for place, text in refused.value.details.items() if place.startswith(f"{path}:{line}")}
    assert places, refused.value.details
    assert said in next(iter(places.values()))


def test_variables_fill_paths_and_a_missing_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELTA_TABLE_PATH", "/lake/orders")
    monkeypatch.setenv("TEST_INFRA_HOME", "/home/ti")
    job = read_job(EXAMPLE, tmp_path)
    assert job.application == PythonModule(module="test_infra.spark.dcp.core_etl")
    assert job.jar_groups == ("spark-delta",)
    written = json.loads(Path(job.args[0]).read_text())
    assert written["sources"][0]["path"] == "/lake/orders"
    assert written["sinks"][0]["path"] == "/home/ti/examples/orders_by_status"
    monkeypatch.delenv("DELTA_TABLE_PATH")
    with pytest.raises(UsageError, match="DELTA_TABLE_PATH"):
        read_job(EXAMPLE, tmp_path)


def test_a_job_spec_in_yaml_leads_from_its_file(tmp_path: Path) -> None:
    path = file(tmp_path, "name: words\napplication:\n  python_file: words.py\n", "job.yaml")
    assert read_job(path, tmp_path).application == PythonFile(python_file=str(tmp_path.resolve() / "words.py"))
    with pytest.raises(BadDocument, match="is refused") as refused:
        read_job(file(tmp_path, "name: words\napplication:\n  pythn_file: words.py\n", "bad.yaml"), tmp_path)
    assert any(place.startswith(f"{tmp_path}/bad.yaml:2") for place in refused.value.details)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadDocument):
        read_manifest(file(tmp_path, text))


def test_two_sources_without_names_are_refused() -> None:
    source = {"type": "delta", "path": "/a"}
    with pytest.raises(ValueError, match="give each a name"):
        EtlSpec.model_validate({"sources": [source, source], "sinks": [source]})
