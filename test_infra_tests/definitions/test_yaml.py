"""What users write in YAML: mistakes are refused with file and line, paths lead from the file."""

from pathlib import Path

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from test_infra.components import CdcPipeline, ServiceStack, TestSuite
from test_infra.components.attributes import with_absolute_paths

# Dagster 1.13 parses YAML with a function that pydantic has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

PIPELINE = """type: test_infra.components.CdcPipeline
attributes:
  name: billing
  tables: [invoices]
"""


def load(text: str, folder: str = "billing") -> tuple[dg.Definitions, Path]:
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / folder / "defs.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        with sandbox.build_all_defs() as definitions:
            definitions.assets  # noqa: B018 - loaded inside the sandbox
            return definitions, path


def refusal(text: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's own exception types are not public
        load(text)
    words, error = [], caught.value
    while error is not None:
        words.append(str(error))
        error = error.__cause__
    return "\n".join(words)


@pytest.mark.parametrize(
    ("more", "field", "line"),
    [
        ("  tabels: [a]\n", "tabels", 5),
        ("  lag:\n    mirror_p95_sec: 3\n", "lag.mirror_p95_sec", 6),
        ("  connector:\n    partitions: many\n", "connector.partitions", 6),
        ("  connector:\n    partitions: 0\n", "connector.partitions", 6),
        ("  source:\n    ddl: [1]\n", "source.ddl", 6),
    ],
)
def test_a_mistake_in_a_pipeline_is_refused_with_file_and_line(more: str, field: str, line: int) -> None:
    words = refusal(PIPELINE + more)
    assert f"attributes.{field} at " in words
    assert f"billing/defs.yaml:{line}" in words


PARTS = """type: test_infra.components.CdcPipeline
attributes:
  name: billing
  exclude: [sales.scratch_*]
  tables:
    - invoices
    - sales.*
    - 'hr."Pay Roll"'
    - table: documents
      columns: {exclude: [scan]}
    - table: tenants
      rows: {where: "tenant = 'a'"}
"""


def test_tables_of_schemas_patterns_and_parts_have_assets_and_gates() -> None:
    definitions, _ = load(PARTS)
    checks = [asset for asset in definitions.asset_checks or () if isinstance(asset, dg.AssetsDefinition)]
    keys = {(spec.asset_key.to_user_string(), spec.name) for one in checks for spec in one.check_specs}
    mirrors = {"invoices", "sales___74ec57", "hr/Pay_Roll_c7662d", "documents", "tenants"}
    assert {key for key, name in keys if name == "parity"} == {f"billing/mirror/{one}" for one in mirrors}
    witnessed = mirrors - {"tenants"}
    assert {key for key, name in keys if name == "witness"} == {f"billing/mirror/{one}" for one in witnessed}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("[a.b.c]", "more than one dot"),
        ("['a b', 'a$b']", "would share a topic"),
        ("[{table: a, colums: {exclude: [b]}}]", "colums"),
        ("[{table: a, columns: {exclude: []}}]", "columns.exclude"),
        ("[a, 1]", "tables.1"),
    ],
)
def test_a_mistake_under_tables_is_refused_with_file_and_line(tables: str, words: str) -> None:
    found = refusal(PIPELINE.replace("[invoices]", tables))
    assert words in found
    assert "billing/defs.yaml:" in found


def test_a_mistake_in_a_stack_is_refused_with_file_and_line() -> None:
    words = refusal(
        "type: test_infra.components.ServiceStack\nattributes:\n  services:\n    kafka:\n      prot: 9092\n"
    )
    assert "attributes.services.kafka.prot at " in words
    assert "defs.yaml:5" in words


def test_a_mistake_in_a_suite_is_refused_with_file_and_line() -> None:
    words = refusal("type: test_infra.components.TestSuite\nattributes:\n  name: s\n  timeout: 3\n")
    assert "attributes.timeout at " in words
    assert "defs.yaml:4" in words


def test_assets_and_gates_of_a_users_pipeline() -> None:
    definitions, _ = load(PIPELINE + "  load: null\n")
    keys = {
        key.to_user_string()
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }
    assert keys == {
        f"billing/{name}"
        for name in ("source/invoices", "connector", "topic/invoices", "stream", "changes/invoices", "mirror/invoices")
    }
    gates = {
        spec.name
        for checks in definitions.asset_checks or ()
        if isinstance(checks, dg.AssetsDefinition)
        for spec in checks.check_specs
    }
    assert gates == {"parity", "lag", "offsets", "quarantine", "connector", "continuity", "stream"}


def test_templates_fill_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOST", "db.example.org")
    component = ServiceStack.from_attributes_dict(
        attributes={
            "services": {
                "postgres": {
                    "external": {
                        "host": "{{ env.SHOP_HOST }}",
                        "database": "shop",
                        "owner_user": "owner",
                        "owner_password_env": "OWNER_PASSWORD",
                        "capture_user": "capture",
                        "capture_password_env": "CAPTURE_PASSWORD",
                    }
                }
            }
        }
    )
    assert component.spec.services.postgres.external is not None
    assert component.spec.services.postgres.external.host == "db.example.org"


def test_relative_paths_lead_from_the_yaml(tmp_path: Path) -> None:
    pipeline = CdcPipeline.from_attributes_dict(
        attributes={"name": "billing", "tables": ["invoices"], "source": {"ddl": "billing.sql"}}
    )
    assert with_absolute_paths(pipeline.spec, tmp_path).source.ddl == tmp_path / "billing.sql"
    suite = TestSuite.from_attributes_dict(attributes={"name": "s", "paths": ["tests", "/elsewhere"]})
    assert with_absolute_paths(suite.spec, tmp_path).paths == [tmp_path / "tests", Path("/elsewhere")]
    of_its_folder = TestSuite.from_attributes_dict(attributes={"name": "s"})
    assert with_absolute_paths(of_its_folder.spec, tmp_path).paths == [tmp_path]


SPARK_JOB = """type: test_infra.components.SparkJob
attributes:
  asset: billing/totals
  after: [billing/mirror]
  job:
    name: totals
    application:
      python_file: totals.py
"""


def test_a_spark_job_is_an_asset_after_others() -> None:
    definitions, _ = load(SPARK_JOB)
    graph = definitions.resolve_asset_graph()
    key = dg.AssetKey(["billing", "totals"])
    assert graph.get(key).parent_keys == {dg.AssetKey(["billing", "mirror"])}
    assert "spark_gateway" in (definitions.resources or {})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    tem: shop\n", "attributes.job.tem at "),
        ("  manifest: manifest.yaml\n", "give either job or manifest"),
        ("    conf: {spark.jars: a.jar}\n", "conf.spark.jars"),
    ],
)
def test_a_mistake_in_a_spark_job_is_refused(more: str, said: str) -> None:
    assert said in refusal(SPARK_JOB + more)
