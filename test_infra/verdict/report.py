"""The report of a run: a pure function of the run's folder."""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from test_infra.base.errors import UsageError
from test_infra.base.paths import write_private
from test_infra.verdict.evidence import Outcome, read
from test_infra.verdict.result import MISSING, GateResult, Result, judge
from test_infra.verdict.run import read_record, read_services, read_steps

HTML = "report.html"
JSON = "result.json"
JUNIT = "junit.xml"
TEMPLATE = Path(__file__).parent / "report.html.j2"
TEST = "test"
"""Column of an evidence row that makes the row a test of a suite."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def report(folder: Path) -> Result:
    """Judge the run in ``folder`` and write ``report.html``, ``result.json`` and ``junit.xml`` into it.

    Returns:
        The verdict; its ``exit_code`` is what a command should end with.

    Raises:
        UsageError: the folder holds no record of a run.
    """
    result = verdict_on(folder)
    write_private(folder / JSON, result.model_dump_json(indent=1))
    write_private(folder / JUNIT, junit(result))
    write_private(folder / HTML, html(result))
    return result


def verdict_on(folder: Path) -> Result:
    """Judge the run in ``folder``; writes nothing.

    Raises:
        UsageError: the folder holds no record of a run.
    """
    record = read_record(folder)
    if record is None:
        raise UsageError(
            f"{folder} holds no record of a run",
            hint="test-infra report RUN, with the id of a run in $TEST_INFRA_HOME/runs",
        )
    return judge(record, read(folder), read_steps(folder), read_services(folder))


def html(result: Result) -> str:
    """One HTML page without scripts and without anything to load; every value escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    return environment.from_string(TEMPLATE.read_text()).render(
        result=result, gates=worst_first(result.gates), elapsed_s=_elapsed_s
    )


def worst_first(gates: Iterable[GateResult]) -> list[GateResult]:
    """Gates in the order in which a reader wants them."""
    order = [Outcome.FAILED, Outcome.UNKNOWN, MISSING, Outcome.PASSED]
    return sorted(gates, key=lambda gate: order.index(gate.outcome))


def junit(result: Result) -> str:
    """JUnit XML: one suite with the gates, one for each test suite that ran."""
    root = ET.Element("testsuites", name=_xml(result.job))
    _suite(root, "gates", [_gate_case(gate) for gate in result.gates], result.started_at)
    for gate in result.gates:
        tests = [row for row in (gate.evidence.rows if gate.evidence else ()) if TEST in row]
        if tests:
            _suite(root, gate.asset, [_test_case(gate.asset, row) for row in tests], result.started_at)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def number(value: float) -> str:
    """A number for reading: whole numbers with thousands apart, others with four significant digits."""
    if value == int(value):
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.4g}"


def _suite(root: ET.Element, name: str, cases: list[ET.Element], started_at: datetime) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_xml(name),
        timestamp=started_at.isoformat(timespec="seconds"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
    )
    suite.extend(cases)


def _gate_case(gate: GateResult) -> ET.Element:
    took_s = _elapsed_s(gate.evidence.started_at, gate.evidence.ended_at) if gate.evidence else 0.0
    case = ET.Element("testcase", classname=_xml(gate.asset), name=_xml(gate.gate), time=f"{took_s:.3f}")
    if not gate.passed:
        fault = ET.SubElement(
            case,
            "failure" if gate.outcome == Outcome.FAILED else "error",
            type=_xml(gate.outcome),
            message=_xml(gate.summary),
        )
        rows = gate.evidence.rows if gate.evidence else ()
        fault.text = _xml("\n".join(", ".join(f"{column}={text}" for column, text in row.items()) for row in rows))
    return case


def _test_case(asset: str, row: dict[str, str]) -> ET.Element:
    case = ET.Element("testcase", classname=_xml(asset), name=_xml(row[TEST]), time=_xml(row.get("seconds", "0")))
    if row.get("outcome") != "passed":
        fault = ET.SubElement(case, "failure", type=_xml(row.get("outcome", "")), message=_xml(row.get("outcome", "")))
        fault.text = _xml(row.get("message", ""))
    return case


def _elapsed_s(started_at: datetime, ended_at: datetime) -> float:
    return (ended_at - started_at).total_seconds()


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold, not even escaped."""
    return _NOT_XML.sub("\ufffd", text)
