"""The gate builder: what one gate does to the run it is in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from test_infra.gates.gate import Gate, gate
from test_infra.resources.stack import StackResource
from test_infra.verdict.evidence import Finding, Outcome, read
from test_infra.verdict.run import read_record, run_dir

PASS = Finding(outcome=Outcome.PASSED, summary="fine", numbers={"rows": 3})
FAIL = Finding(
    outcome=Outcome.FAILED,
    summary="1 value differs",
    verdicts=("VALUE",),
    numbers={"value": 1},
    rows=({"key": "7", "column": "amount", "source": "<b>1</b>", "mirror": "2"},),
)


class NoStack(StackResource):
    """A stack that is there in name only: the judges of these tests do not look at it."""

    def attach(self) -> Any:
        return None


@dg.asset(key=["shop", "mirror", "orders"])
def orders() -> None: ...


@dg.asset(key=["shop", "mirror", "customers"])
def customers() -> None: ...


@dg.asset(key=["after"], deps=[orders])
def after() -> None: ...


SUBJECTS = {
    "orders": dg.AssetKey(["shop", "mirror", "orders"]),
    "customers": dg.AssetKey(["shop", "mirror", "customers"]),
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))


def run(judge: Any, *, also: Sequence[Any] = ()) -> tuple[dg.ExecuteInProcessResult, Path]:
    parity = gate(Gate("parity", "shop__parity", "rows are equal", SUBJECTS, judge))
    definitions = dg.Definitions(
        assets=[orders, customers, after],
        asset_checks=[parity, *also],
        jobs=[dg.define_asset_job("e2e")],
        resources={"stack": NoStack(stack_id="s1")},
    )
    result = definitions.resolve_job_def("e2e").execute_in_process(raise_on_error=False)
    return result, run_dir(result.run_id)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        f"{event.asset_key.to_user_string()}:{event.check_name}": event.passed
        for event in result.get_asset_check_evaluations()
    }


def test_passed_gate_leaves_evidence_and_a_green_run() -> None:
    result, folder = run(lambda stack, subjects: dict.fromkeys(subjects, PASS))
    assert result.success
    assert {item.gate_id: item.outcome for item in read(folder)} == {
        "shop/mirror/customers:parity": Outcome.PASSED,
        "shop/mirror/orders:parity": Outcome.PASSED,
    }


def test_failed_gate_fails_the_run_keeps_every_evaluation_and_stops_nobody() -> None:
    sibling = gate(Gate("lag", "shop__lag", "in time", SUBJECTS, lambda stack, subjects: dict.fromkeys(subjects, PASS)))
    result, folder = run(lambda stack, subjects: {"orders": FAIL, "customers": PASS}, also=[sibling])
    assert not result.success
    assert evaluations(result) == {
        "shop/mirror/orders:parity": False,
        "shop/mirror/customers:parity": True,
        "shop/mirror/orders:lag": True,
        "shop/mirror/customers:lag": True,
    }
    assert result.asset_materializations_for_node("after")
    assert [item.gate_id for item in read(folder) if not item.passed] == ["shop/mirror/orders:parity"]


def test_exception_before_a_verdict_is_unknown_and_red() -> None:
    def broken(stack: Any, subjects: Sequence[str]) -> Mapping[str, Finding]:
        raise ConnectionError("password=hunter2 refused")

    result, folder = run(broken)
    assert not result.success
    assert set(evaluations(result).values()) == {False}
    assert {item.outcome for item in read(folder)} == {Outcome.UNKNOWN}
    assert all("hunter2" not in path.read_text() for path in folder.rglob("*.json"))


def test_a_subject_nobody_spoke_about_is_unknown_and_red() -> None:
    result, folder = run(lambda stack, subjects: {"orders": PASS})
    assert not result.success
    assert {item.gate_id: item.outcome for item in read(folder)}["shop/mirror/customers:parity"] == Outcome.UNKNOWN


def test_a_lag_that_is_no_number_is_no_measurement() -> None:
    result, folder = run(
        lambda stack, subjects: dict.fromkeys(
            subjects, Finding(outcome=Outcome.PASSED, summary="", numbers={"mirror_p95_s": float("nan")})
        )
    )
    assert not result.success
    assert {item.outcome for item in read(folder)} == {Outcome.UNKNOWN}


def test_numbers_are_numeric_and_rows_a_table() -> None:
    result, _ = run(lambda stack, subjects: {"orders": FAIL, "customers": PASS})
    [failed] = [event for event in result.get_asset_check_evaluations() if not event.passed]
    assert failed.metadata["value"] == dg.MetadataValue.float(1.0)
    rows = failed.metadata["rows"]
    assert isinstance(rows, dg.TableMetadataValue)
    assert rows.records[0].data["source"] == "<b>1</b>"


def test_the_record_lists_every_gate_of_the_job_from_the_first_step_on() -> None:
    _, folder = run(lambda stack, subjects: dict.fromkeys(subjects, PASS))
    record = read_record(folder)
    assert record is not None
    assert record.expected == ("shop/mirror/customers:parity", "shop/mirror/orders:parity")
    assert record.stack_id == "s1"


def test_one_gate_of_several_may_be_asked_alone() -> None:
    seen: list[Sequence[str]] = []

    def judge(stack: Any, subjects: Sequence[str]) -> Mapping[str, Finding]:
        seen.append(list(subjects))
        return dict.fromkeys(subjects, PASS)

    parity = gate(Gate("parity", "shop__parity", "rows are equal", SUBJECTS, judge))
    alone = dg.define_asset_job(
        "one", selection=dg.AssetSelection.checks(dg.AssetCheckKey(SUBJECTS["orders"], "parity"))
    )
    definitions = dg.Definitions(
        assets=[orders, customers], asset_checks=[parity], jobs=[alone], resources={"stack": NoStack(stack_id="s1")}
    )
    assert definitions.resolve_job_def("one").execute_in_process().success
    assert seen == [["orders"]]
