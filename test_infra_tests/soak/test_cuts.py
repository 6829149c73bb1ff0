"""`make soak`: cut after cut under traffic of every shape, DDL and faults; not one is false, and the oracle agrees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from test_infra.resources.run_folder import versions
from test_infra_tests.running import Running, running
from test_infra_tests.soak.cuts import SPEC, soak

CUTS_OF_A_PIPELINE = int(os.environ.get("TEST_INFRA_SOAK_CUTS", "50"))
PIPELINES = int(os.environ.get("TEST_INFRA_SOAK_PIPELINES", "6"))
RESULTS = Path(__file__).parent / "results" / "cuts.json"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3_600)]


@pytest.fixture(scope="module")
def commit() -> str:
    """Before the first series changes its file, which belongs to the project."""
    return versions().get("commit", "")


@pytest.mark.parametrize("seed", range(PIPELINES))
def test_no_cut_is_false_and_the_oracle_agrees(test_home: Path, tmp_path: Path, commit: str, seed: int) -> None:
    with running(Running, SPEC, f"soak{seed}") as pipeline:
        found = soak(pipeline.pipeline, tmp_path, CUTS_OF_A_PIPELINE, seed=seed)
    found.write(RESULTS, commit)
    assert found.cuts == CUTS_OF_A_PIPELINE
    assert (found.false, found.apart, found.late) == ([], [], [])
    assert found.dirty_keys > 0
    assert sum(found.ddl.values()) == CUTS_OF_A_PIPELINE
