"""A step of one's own in a container, with Dagster Pipes."""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function.
import re

import dagster as dg
import pytest

from test_infra.resources.container import RUN_LABEL, ContainerStep
from test_infra.runtime.docker_engine import engine

# Dagster's own Pipes session reads the context's run id the old way.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")
REPORTS = """
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    pipes.report_asset_materialization(metadata={"answer": pipes.get_extra("question") * 2})
"""


def asset_that_runs(*command: str) -> dg.AssetsDefinition:
    @dg.asset
    def answered(context: dg.AssetExecutionContext, container: ContainerStep) -> dg.MaterializeResult[None]:
        return container.run(context, command, extras={"question": 21}).get_materialize_result()

    return answered


def why(result: dg.ExecuteInProcessResult) -> str:
    return str(result.failure_data_for_node("answered").error.to_string())


def containers_left() -> list[object]:
    client = engine()
    try:
        return client.containers.list(all=True, filters={"label": RUN_LABEL})
    finally:
        client.close()


def test_what_the_command_reports_is_the_steps_and_no_container_is_left(docker_image: str) -> None:
    step = asset_that_runs("python3", "-c", REPORTS)
    result = dg.materialize([step], resources={"container": ContainerStep()})
    assert result.success
    (materialized,) = result.asset_materializations_for_node("answered")
    assert materialized.metadata["answer"].value == 42
    assert not containers_left()


def test_a_command_that_fails_fails_the_step_and_no_container_is_left(docker_image: str) -> None:
    step = asset_that_runs("python3", "-c", "raise SystemExit(7)")
    result = dg.materialize([step], resources={"container": ContainerStep()}, raise_on_error=False)
    assert not result.success
    assert re.search(r"non-zero status code: .*\b7\b", why(result))
    assert not containers_left()


def test_a_step_over_its_memory_limit_fails(docker_image: str) -> None:
    step = asset_that_runs("python3", "-c", "b = bytearray(10**9)")
    result = dg.materialize([step], resources={"container": ContainerStep(memory_mib=64)}, raise_on_error=False)
    assert not result.success
    assert re.search(r"non-zero status code: .*\b137\b", why(result))
    assert not containers_left()


@pytest.fixture(autouse=True)
def _without_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
