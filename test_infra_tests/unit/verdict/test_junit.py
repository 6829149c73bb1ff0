"""``junit.xml`` is what CI systems take: the elements and attributes of their schema, and counts that are true."""

from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.report import report
from test_infra_tests.unit.verdict.runs import differing, found, lag, of_run, parity
from test_infra_tests.unit.verdict.test_page import HOSTILE

FAULTS = {"failure", "error"}
SUITE = {"name", "timestamp", "tests", "failures", "errors"}


def assert_valid(root: ET.Element) -> None:
    """The part of Jenkins' ``jenkins-junit.xsd`` and of Ant's schema that our elements come under."""
    assert root.tag == "testsuites"
    for suite in root:
        assert (suite.tag, set(suite.attrib)) == ("testsuite", SUITE)
        datetime.fromisoformat(suite.attrib["timestamp"])
        cases = list(suite)
        assert {case.tag for case in cases} <= {"testcase"}
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
        for case in cases:
            assert set(case.attrib) == {"classname", "name", "time"}
            assert float(case.attrib["time"]) >= 0
            assert [
                fault.tag for fault in case if fault.tag not in FAULTS or set(fault.attrib) != {"type", "message"}
            ] == []
            assert len(case) <= 1


@pytest.mark.parametrize("hostile", ["plain", *HOSTILE])
def test_junit_is_valid_whatever_was_found(tmp_path: Path, hostile: str) -> None:
    tests = (
        {"test": hostile, "outcome": "failed", "seconds": "0.5", "message": hostile},
        {"test": "t.py::b", "outcome": "passed", "seconds": "0.1", "message": ""},
    )
    items = (
        parity(hostile, outcome=Outcome.FAILED, summary=hostile, rows=(differing(hostile, "b", hostile),)),
        lag(hostile, outcome=Outcome.UNKNOWN, summary=hostile),
        found("suite", f"suites/{hostile}", outcome=Outcome.FAILED, rows=tests),
    )
    expected = (*(item.gate_id for item in items), "x:never looked")
    report(of_run(tmp_path, *items, expected=expected))
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert_valid(root)
    assert [(suite.get("tests"), suite.get("failures"), suite.get("errors")) for suite in root] == [
        ("4", "2", "2"),
        ("2", "1", "0"),
    ]
