"""The published schema of ``result.json`` is the one that results obey."""

import json
from pathlib import Path

import jsonschema
import pytest

from test_infra.verdict import schema
from test_infra.verdict.evidence import Outcome
from test_infra.verdict.report import report
from test_infra_tests.unit.verdict.runs import differing, lag, of_run, parity

PUBLISHED = Path(__file__).parents[3] / "docs" / "result.schema.json"


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text() == schema.text(), f"python -m test_infra.verdict.schema > {PUBLISHED.name}"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_results_obey_the_published_schema(tmp_path: Path, outcome: Outcome) -> None:
    report(of_run(tmp_path, parity(outcome=outcome, rows=(differing("a", "b"),)), lag(), expected=("x:y",)))
    result = json.loads((tmp_path / "result.json").read_text())
    jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text())).validate(result)
    assert result["schema_version"] == 3


def test_a_result_without_its_verdict_is_refused(tmp_path: Path) -> None:
    report(of_run(tmp_path, parity()))
    result = json.loads((tmp_path / "result.json").read_text())
    del result["green"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text())).validate(result)
