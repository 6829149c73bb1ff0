"""A project of one's own: what `test-infra init` and `dg scaffold defs` write loads as it is; no project is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object

from test_infra.base.errors import UsageError
from test_infra.cli import entry
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.init import make_project

DG = Path(sys.executable).parent / "dg"
COMPONENTS = ("ServiceStack", "CdcPipeline", "TestSuite", "SparkJob")
LOADED = """
from test_infra.cli.project import definitions, pipeline_specs, stack_spec
loaded = definitions()
print(sorted(job.name for job in loaded.resolve_all_job_defs() if not job.name.startswith("__")))
print(sorted(key.to_user_string() for key in loaded.resolve_asset_graph().materializable_asset_keys))
print(sorted(pipeline_specs()), stack_spec().services.kafka is not None)
"""


def in_folder(folder: Path, home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DAGSTER_HOME")}
    environment |= {"TEST_INFRA_HOME": str(home), "DAGSTER_HOME": str(home)}
    environment["VIRTUAL_ENV"] = str(Path(sys.executable).parent.parent)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def loaded(folder: Path, home: Path) -> str:
    done = in_folder(folder, home, sys.executable, "-P", "-c", LOADED)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return tmp_path / "home"


def test_a_folder_without_a_project_has_the_built_in_one(tmp_path: Path, home: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "no-dagster-here"\n')
    jobs, assets, rest = loaded(tmp_path, home).splitlines()
    assert jobs == "['e2e', 'parity', 'smoke', 'types']"
    assert "'shop/mirror/orders'" in assets
    assert rest == "['shop', 'types'] True"


def test_a_new_project_loads_from_its_folder_and_below_without_being_installed(tmp_path: Path, home: Path) -> None:
    made = make_project(tmp_path / "my-tests")
    assert {
        Path("pyproject.toml"),
        Path(".github/workflows/e2e.yml"),
        Path("my_tests/defs/billing/billing.sql"),
    } <= set(made)
    jobs, assets, rest = loaded(tmp_path / "my-tests" / "my_tests" / "defs", home).splitlines()
    assert jobs == "['e2e', 'parity', 'smoke']"
    assert all(asset in assets for asset in ("'billing/mirror/billing_lines'", "'suites/billing_tests'", "'verdict'"))
    assert rest == "['billing'] True"


@pytest.mark.ci(reason="Dagster's own command, three times")
def test_dg_scaffolds_a_pipeline_and_checks_the_project(tmp_path: Path, home: Path) -> None:
    project = tmp_path / "my-tests"
    make_project(project)
    scaffolded = in_folder(project, home, DG, "scaffold", "defs", "test_infra.components.CdcPipeline", "sales")
    assert scaffolded.returncode == 0, scaffolded.stderr
    assert (project / "my_tests/defs/sales/sales.sql").exists()
    for what in ("yaml", "defs"):
        checked = in_folder(project, home, DG, "check", what)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "form", ["yaml", pytest.param("python", marks=pytest.mark.ci(reason="the same skeletons in another form"))]
)
def test_every_skeleton_loads_as_it_is_and_twice(tmp_path: Path, home: Path, form: str) -> None:
    project = tmp_path / "p"
    make_project(project)
    defs = project / "p" / "defs"
    for component in COMPONENTS[1:]:
        for name in ("First-One", "2nd"):
            params = '{"pipeline": "billing"}' if (component, name) == ("TestSuite", "2nd") else None
            typename = f"test_infra.components.{component}"
            scaffold_object(defs / f"{name}-{component}", typename, params, form, project)
    _, assets, _ = loaded(project, home).splitlines()
    for key in (
        "first_one_cdcpipeline/mirror/first_one_cdcpipeline_lines",
        "nd_cdcpipeline/load",
        "suites/first_one_testsuite",
        "suites/nd_testsuite",
        "jobs/first_one_sparkjob",
        "jobs/nd_sparkjob",
    ):
        assert f"'{key}'" in assets


def test_the_commented_lines_of_a_skeleton_are_right_too(tmp_path: Path, home: Path) -> None:
    make_project(tmp_path / "p")
    stack = tmp_path / "p" / "p" / "defs" / "stack" / "defs.yaml"
    head, _, external = stack.read_text().partition("  services: {}\n")
    stack.write_text(head + external.replace("  # ", "  ").replace("  Each", "  # Each").replace("  One", "  # One"))
    services = yaml.safe_load(stack.read_text().replace("  passwords", "  # passwords"))["attributes"]["services"]
    assert services["postgres"]["external"]["owner_password_env"] == "SHOP_OWNER_PASSWORD"
    assert loaded(tmp_path / "p", home)


def test_the_workflow_for_ci_is_yaml_that_runs_e2e(tmp_path: Path) -> None:
    make_project(tmp_path / "p")
    workflow = yaml.safe_load((tmp_path / "p/.github/workflows/e2e.yml").read_text())
    job = workflow["jobs"]["e2e"]
    assert "test-infra run e2e --deadline 40m" in [step.get("run") for step in job["steps"]]
    assert job["env"]["TEST_INFRA_HOME"] == "${{ github.workspace }}/.test_infra"


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert entry.execute(["init", str(tmp_path / "mine")]) == ExitCode.USAGE
    assert "is there already, and nothing is overwritten" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "seen"),
    [("pytest", "Python has one of that name"), ("class", "Python has one"), ("7", "no name can be made from '7'")],
)
def test_a_name_that_makes_no_module_is_refused_and_nothing_is_made(tmp_path: Path, name: str, seen: str) -> None:
    with pytest.raises(UsageError, match=seen):
        make_project(tmp_path / name)
    assert not (tmp_path / name).exists()
