"""A test suite as its user describes it, where its files go in a run, and the variables that its tests see."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from test_infra.base.document import Document
from test_infra.cdc.pipeline.spec import Name, YamlPath

PIPELINE_VARIABLE = "TEST_INFRA_PIPELINE"
"""Name of the pipeline that the fixture `pipeline` gives."""
PLANNED_VARIABLE = "TEST_INFRA_SUITE_PLANNED"
"""File into which the plugin writes which tests there are."""


class SuiteSpec(Document):
    """A set of pytest files that is run against the running stack."""

    name: Name = Field(description="Name of the suite; unique in the project.")
    paths: list[YamlPath] = Field(
        default=[Path()], min_length=1, description="Test files or folders; relative to the YAML. Default: its folder."
    )
    pipeline: Name | None = Field(default=None, description="Pipeline that the fixture `pipeline` gives to the tests.")
    after: list[str] = Field(
        default=[],
        description="Assets that must be there first, such as shop/load. Default: the stream of the pipeline.",
    )
    timeout_s: float = Field(default=600.0, gt=0, description="The whole suite is ended after this time, seconds.")
    test_timeout_s: float = Field(default=120.0, gt=0, description="One test fails after this time, seconds.")
    description: str = Field(default="", description="What the suite shows; shown in the UI.")


@dataclass(frozen=True)
class SuiteFolder:
    """Where one suite leaves its files in a run's folder."""

    run_dir: Path
    suite: str

    @property
    def path(self) -> Path:
        """All files of the suite in this run."""
        return self.run_dir / "suites" / self.suite

    @property
    def planned(self) -> Path:
        """The tests that were collected: one test id as a JSON string per line, written before the first test runs."""
        return self.path / "planned.jsonl"

    @property
    def report(self) -> Path:
        """Report log: what could not be collected, and how each test ended; one JSON document per line, written while
        the tests run.
        """
        return self.path / "report.jsonl"

    @property
    def log(self) -> Path:
        """What pytest printed."""
        return self.path / "pytest.log"

    @property
    def config(self) -> Path:
        """The pytest configuration of the suite, so that the one of the project around it has no effect."""
        return self.path / "pytest.ini"

    @property
    def lock(self) -> Path:
        """Held by the step that waits for the suite; the suite ends when that step is gone."""
        return self.path / "step.lock"

    @property
    def exit(self) -> Path:
        """Exit code of pytest, or why it was ended before it had one."""
        return self.path / "exit"
