"""JUnit XML of a run, for CI systems."""

import re
from datetime import datetime
from xml.etree import ElementTree as ET

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.page.words import elapsed_s
from test_infra.verdict.result import MISSING, GateResult, NotJudged, Result
from test_infra.verdict.run import StepRecord

TEST = "test"
"""Column of an evidence row that makes the row a test of a suite."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: Result) -> str:
    """JUnit XML: one suite with the steps that failed, one with the gates, one for each test suite that ran. Gates that
    did not look for the same reason are one case.
    """
    root = ET.Element("testsuites", name=_xml(result.subject))
    if failed := result.failed_steps:
        _suite(root, "steps", [_step_case(step) for step in failed], result.started_at)
    judged = [_gate_case(gate) for gate in result.gates if gate.evidence is not None]
    _suite(root, "gates", [*judged, *map(_not_judged_case, result.not_judged)], result.started_at)
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


def _step_case(step: StepRecord) -> ET.Element:
    took_s = elapsed_s(step.started_at, step.ended_at)
    case = ET.Element("testcase", classname="steps", name=_xml(step.step), time=f"{took_s:.3f}")
    first_line = step.error.strip().partition("\n")[0]
    fault = ET.SubElement(case, "error", type="FAILED", message=_xml(first_line))
    fault.text = _xml(step.error)
    return case


def _not_judged_case(group: NotJudged) -> ET.Element:
    asset, _, gate = group.gates[0].rpartition(":")
    if len(group.gates) > 1:
        asset, gate = "gates", f"{len(group.gates)} gates did not look"
    case = ET.Element("testcase", classname=_xml(asset), name=_xml(gate), time="0.000")
    fault = ET.SubElement(case, "error", type=MISSING, message=_xml(group.summary))
    fault.text = _xml("\n".join(group.gates))
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
