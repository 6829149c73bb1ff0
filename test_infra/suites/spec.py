"""A test suite as its user describes it, and where its files go in a run."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from test_infra.base.document import Document
from test_infra.cdc.pipeline.spec import Name, YamlPath


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
    def plan(self) -> Path:
        """Report log of the collection: what could not be collected."""
        return self.path / "plan.jsonl"

    @property
    def planned(self) -> Path:
        """What there is to run: one test id as a JSON text per line."""
        return self.path / "planned.jsonl"

    @property
    def report(self) -> Path:
        """Report log of the run, one JSON document per line, written while the tests run."""
        return self.path / "report.jsonl"

    @property
    def log(self) -> Path:
        """What pytest printed."""
        return self.path / "pytest.log"

    @property
    def config(self) -> Path:
        """The pytest configuration of the suite: the one of the project around it must not leak in."""
        return self.path / "pytest.ini"

    @property
    def exit(self) -> Path:
        """Exit code of pytest, or the word that says why there is none."""
        return self.path / "exit"
