"""The tables of a pattern share one gate: the worst decides, and it is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from test_infra.cdc.judge import gate_judges
from test_infra.cdc.judge.findings import of_pattern
from test_infra.cdc.pipeline.captured import resolve
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.types.table_id import table_id
from test_infra.verdict.evidence import Finding, Outcome

GREEN = Finding(outcome=Outcome.PASSED, summary="equal: 3 rows", numbers={"source_rows": 3, "mirror_p95_s": 0.5})
RED = Finding(
    outcome=Outcome.FAILED,
    verdicts=("MISSING",),
    summary="1 MISSING",
    numbers={"source_rows": 4, "mirror_p95_s": 2.0},
    rows=({"verdict": "MISSING", "key": "id=1"},),
)
UNKNOWN = Finding(outcome=Outcome.UNKNOWN, verdicts=("UNKNOWN",), summary="nothing was compared")


def test_all_green_is_green_and_counts_all_tables() -> None:
    found = of_pattern({"sales.a": GREEN, "sales.b": GREEN})
    assert found.outcome is Outcome.PASSED
    assert found.numbers == {"tables": 2, "tables_red": 0, "source_rows": 6, "mirror_p95_s": 0.5}
    assert found.details == {"sales.a": "equal: 3 rows", "sales.b": "equal: 3 rows"}


def test_one_red_table_of_many_is_red_and_named_with_its_rows() -> None:
    found = of_pattern({**{f"sales.t{number}": GREEN for number in range(60)}, "sales.bad": RED, "sales.odd": UNKNOWN})
    assert found.outcome is Outcome.FAILED
    assert found.verdicts == ("MISSING", "UNKNOWN")
    assert found.summary == "2 of 62 tables are red: sales.bad: 1 MISSING; sales.odd: nothing was compared"
    assert found.rows == ({"table": "sales.bad", "verdict": "MISSING", "key": "id=1"},)
    assert found.numbers["mirror_p95_s"] == 2.0


@pytest.mark.parametrize("tables", [{"sales.a": UNKNOWN, "sales.b": GREEN}, {"sales.a": GREEN, "sales.b": None}, {}])
def test_what_is_not_known_is_red(tables: dict[str, Finding | None]) -> None:
    assert of_pattern(tables).outcome is Outcome.UNKNOWN


def test_gate_judges_each_line_and_every_table_of_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PipelineSpec(name="shop", tables=["orders", "sales.*"])
    available = [table_id("sales", name, "public") for name in ("a", "bad")]
    pipeline: Any = SimpleNamespace(captured=resolve(spec.entries, (), available))
    asked = []

    def judge(_: Any, tables: Any) -> dict[str, Finding]:
        asked.extend(tables)
        return {table: RED if table == "sales.bad" else GREEN for table in tables}

    found = gate_judges._by_entry(judge)(pipeline, ["orders", "sales.*"])
    assert asked == ["orders", "sales.a", "sales.bad"]
    assert found["orders"] == GREEN
    assert found["sales.*"].outcome is Outcome.FAILED
