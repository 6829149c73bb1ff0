"""`run --only TABLE`: which part of a Dagster job is run, and that the verdict says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox

from test_infra.base.errors import UsageError
from test_infra.cli.part import part_of, run_config
from test_infra.components.project import complete
from test_infra.definitions import defs
from test_infra.resources.run_folder import ONLY, expected_gates, only_tables
from test_infra.verdict.junit import junit
from test_infra.verdict.result import judge
from test_infra.verdict.run import RunRecord

# Dagster 1.13 parses YAML with a function that pydantic has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

OF_SHOP = {
    "shop/connector:connector",
    "shop/connector:continuity",
    "shop/stream:quarantine",
    "shop/stream:stream",
}
YAML = """type: test_infra.components.CdcPipeline
attributes:
  name: wide
  tables: [orders, sales.orders, sales.items, 'hr.*']
---
type: test_infra.components.CdcPipeline
attributes:
  name: narrow
  tables: [stock]
  load: null
"""


@pytest.fixture(scope="module")
def built_in() -> dg.Definitions:
    return defs()


@pytest.fixture(scope="module")
def of_a_user() -> dg.JobDefinition:
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / "all" / "defs.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(YAML)
        with sandbox.build_all_defs() as definitions:
            return complete(definitions).resolve_job_def("e2e")


def of_table(table: str) -> set[str]:
    return {f"shop/mirror/{table}:{gate}" for gate in ("parity", "lag", "witness")} | {f"shop/changes/{table}:offsets"}


def mirrors(job: dg.JobDefinition, only: Sequence[str]) -> set[str]:
    gates = expected_gates(part_of(job, only))
    return {gate.removesuffix(":parity") for gate in gates if gate.endswith(":parity")}


def test_only_the_tables_gates_and_those_of_its_pipeline_and_stack_are_expected(built_in: dg.Definitions) -> None:
    services = {f"stack/{name}:service_stability" for name in ("postgres", "kafka", "connect")}
    part = part_of(built_in.resolve_job_def("e2e"), ["orders"])
    assert set(expected_gates(part)) == services | OF_SHOP | {"shop/load:load"} | of_table("orders")
    assert {"shop__load", "shop__source", "verdict"} <= {step.name for step in part.nodes}
    assert not any(step.name.startswith(("cdc_e2e", "suites")) for step in part.nodes)


def test_a_part_of_smoke_has_its_small_load_and_one_of_parity_makes_nothing(built_in: dg.Definitions) -> None:
    smoke, parity = built_in.resolve_job_def("smoke"), built_in.resolve_job_def("parity")
    small = run_config(smoke, part_of(smoke, ["orders"]))
    assert small == {"ops": {"shop__load": {"config": {"operations": 1_000}}}}
    looked_at = part_of(parity, ["orders", "customers"])
    assert set(expected_gates(looked_at)) == OF_SHOP | of_table("orders") | of_table("customers")
    assert not any(step.name in ("stack", "shop__load", "shop__mirror") for step in looked_at.nodes)


@pytest.mark.parametrize(
    ("only", "meant"),
    [
        (["orders"], {"wide/mirror/orders"}),
        (["public.orders"], {"wide/mirror/orders"}),
        (["sales.orders"], {"wide/mirror/sales/orders"}),
        (["items"], {"wide/mirror/sales/items"}),
        (["sales.*"], {"wide/mirror/sales/orders", "wide/mirror/sales/items"}),
        (["stock", "items"], {"wide/mirror/sales/items", "narrow/mirror/stock"}),
    ],
)
def test_a_table_is_named_as_in_the_yaml_or_with_its_schema(
    of_a_user: dg.JobDefinition, only: list[str], meant: set[str]
) -> None:
    assert mirrors(of_a_user, only) == meant


def test_a_load_that_is_not_of_the_part_has_no_configuration_in_it(of_a_user: dg.JobDefinition) -> None:
    part = part_of(of_a_user, ["stock"])
    assert not any(step.name.startswith("wide") for step in part.nodes)


@pytest.mark.parametrize(
    ("only", "seen"),
    [
        (["orders", "nothing"], "no pipeline of e2e has a table nothing"),
        (["Orders"], "no pipeline of e2e has a table Orders"),
        (["hr.people"], "is one of the pattern hr.* of pipeline wide"),
        (["a.b.c"], "is no name of a table"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(of_a_user: dg.JobDefinition, only: list[str], seen: str) -> None:
    with pytest.raises(UsageError) as refused:
        part_of(of_a_user, only)
    assert seen in str(refused.value)


def test_the_verdict_says_that_it_is_of_a_part() -> None:
    tables = only_tables({ONLY: '["orders", "sales.items"]'})
    record = RunRecord(run_id="r", job="e2e", started_at=datetime.now(UTC), only=tables)
    result = judge(record, [])
    assert result.subject == "e2e, only the part of orders, sales.items"
    assert result.subject in junit(result)
    assert only_tables({}) == ()
