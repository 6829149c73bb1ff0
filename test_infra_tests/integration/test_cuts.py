"""Thirty cuts of the soak on some of its tables (`make soak` takes 300): every shape, DDL, pauses, kills, a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_infra_tests.running import Running, running
from test_infra_tests.soak.cuts import SPEC, soak


@pytest.mark.ci(reason="thirty cuts between faults, two minutes")
@pytest.mark.timeout(1500)
def test_thirty_cuts_under_traffic_and_faults_are_true_and_the_oracle_agrees(test_home: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"tables": ["accounts", "journal", "visits", "sales.lines"]})
    with running(Running, spec, "testcuts") as pipeline:
        found = soak(pipeline.pipeline, tmp_path, 30, rate_per_s=500)
    assert (found.false, found.apart, found.late) == ([], [], [])
    assert found.cuts == 30
    assert found.judged == len(spec.tables) * (2 * 30 + 10)
    assert found.faults == {"pause": 3, "kill_connect": 1, "kill_driver": 1, "restart_driver": 1}
    assert sum(found.ddl.values()) == 30
    assert found.dirty_keys > 0
    found.write(tmp_path / "cuts.json", "a1b2c3d4e5f6")
    (series,) = json.loads((tmp_path / "cuts.json").read_text())
    assert (series["cuts"], series["faults"]) == (30, dict(found.faults))
    assert series["commit"] == "a1b2c3d4e5f6"
