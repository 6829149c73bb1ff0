"""`make soak`: cut after cut under traffic of every shape and under faults; not one is false, and the oracle agrees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from test_infra_tests.running import Running, running
from test_infra_tests.soak.cuts import SPEC, soak

CUTS = int(os.environ.get("TEST_INFRA_SOAK_CUTS", "300"))
RESULTS = Path(__file__).parent / "results" / "cuts.json"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7_200)]


def test_no_cut_is_false_and_the_oracle_agrees(test_home: Path, tmp_path: Path) -> None:
    with running(Running, SPEC, "soak") as pipeline:
        found = soak(pipeline.stack, tmp_path, CUTS, seed=int(os.environ.get("TEST_INFRA_SOAK_SEED", "4")))
    found.write(RESULTS)
    assert found.cuts == CUTS
    assert (found.false, found.apart, found.late) == ([], [], [])
    assert found.dirty_keys > 0
