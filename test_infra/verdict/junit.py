"""JUnit XML of a run, for CI systems."""

import re
from datetime import datetime
from xml.etree import ElementTree as ET

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.page.words import elapsed_s
from test_infra.verdict.result import GateResult, Result

TEST = "test"
"""Column of an evidence row that makes the row a test of a suite."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Result) -> str:
    """JUnit XML: one suite with the gates, one for each test suite that ran."""
    root = ET.Element("testsuites", name=_xml(result.job))
    _suite(root, "gates", [_gate_case(gate) for gate in result.gates], result.started_at)
    for gate in result.gates:
        tests = [row for row in (gate.evidence.rows if gate.evidence else ()) if TEST in row]
        if tests:
            _suite(root, gate.asset, [_test_case(gate.asset, row) for row in tests], result.started_at)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


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
    took_s = elapsed_s(gate.evidence.started_at, gate.evidence.ended_at) if gate.evidence else 0.0
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


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold, not even escaped."""
    return _NOT_XML.sub("\ufffd", text)
