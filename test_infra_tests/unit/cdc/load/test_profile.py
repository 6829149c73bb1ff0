"""What became of a load is counted whole, whatever its length."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.cdc.load.history import History, Kind, OperationOutcome, OperationResult, Phase
from test_infra.cdc.load.profile import MOST_BUCKETS, profile


def written(path: Path, ends: list[tuple[float, OperationOutcome]], phase: Phase = Phase.LOAD) -> Path:
    history = History(path)
    for done, outcome in ends:
        history.add([OperationResult("orders", ("id",), (1,), Kind.INSERT, outcome)], 1, done - 0.01, done, phase)
    history.close()
    return path


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(min_value=1e9, max_value=1e9 + 1e6), st.sampled_from(OperationOutcome)), min_size=1)
)
def test_every_operation_is_counted_once(tmp_path_factory, ends: list[tuple[float, OperationOutcome]]) -> None:
    found = profile(written(tmp_path_factory.mktemp("load") / "history.jsonl", ends))
    assert sum(found.outcomes.values()) == len(ends)
    assert found.over_time is not None
    assert found.over_time.buckets <= MOST_BUCKETS
    counted = {outcome: sum(filter(None, row)) for outcome, row in found.over_time.values.items()}
    assert counted == found.outcomes


def test_rows_of_before_the_connector_are_no_load(tmp_path: Path) -> None:
    found = profile(written(tmp_path / "history.jsonl", [(1e9, OperationOutcome.OK)], Phase.SEED))
    assert (sum(found.outcomes.values()), found.over_time) == (0, None)


def test_no_history_is_no_load(tmp_path: Path) -> None:
    assert profile(tmp_path / "nothing.jsonl").over_time is None
