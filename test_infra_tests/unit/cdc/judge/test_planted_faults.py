"""Not one planted fault stays unseen or is called something else, and docs/planted-faults.md says so."""

from __future__ import annotations

import pytest

from test_infra_tests.unit.cdc.judge.planted_page import PAGE, page
from test_infra_tests.unit.cdc.judge.planted_shapes import in_shapes
from test_infra_tests.unit.cdc.judge.planted_types import in_types


@pytest.mark.timeout(600)
def test_every_planted_fault_is_found_with_its_verdict_and_key() -> None:
    types, shapes = list(in_types()), list(in_shapes())
    assert [one for one in [*types, *shapes] if one.found != one.planted] == []
    assert sum(one.planted for one in types) > 500
    assert sum(one.planted for one in shapes) > 100
    assert PAGE.read_text(encoding="utf-8") == page(types, shapes), "make planted"
