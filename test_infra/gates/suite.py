"""The gate of a test suite."""

from collections.abc import Mapping, Sequence

from test_infra.gates.gate import LATE, Gate, JudgeContext
from test_infra.resources.keys import suite_key
from test_infra.suites.read import finding, read
from test_infra.suites.spec import SuiteFolder, SuiteSpec
from test_infra.verdict.evidence import Finding

PROMISE = """Every test of the suite ran and passed.

Red when a test failed, was skipped, or was collected and never reported; when files could not be collected; when there
is no test. Look first at the table of tests, then at pytest's log, whose path is in the metadata."""


def suite_gate(spec: SuiteSpec) -> Gate:
    """The gate that judges what a suite reported in this run."""

    def judge(context: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        folder = SuiteFolder(context.run_dir, spec.name)
        return {spec.name: finding(read(folder), folder.log)}

    return Gate(
        name="suite",
        step=f"{spec.name}__suite",
        promise=PROMISE,
        subjects={spec.name: suite_key(spec.name)},
        judge=judge,
        priority=LATE,
    )
