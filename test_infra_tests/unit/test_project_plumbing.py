"""The project's own rules: sockets, skips, lock, layout."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import pytest_socket

PROJECT = Path(__file__).parents[2]
CONFTEST = PROJECT / "test_infra_tests" / "conftest.py"


def test_unit_tests_cannot_open_a_socket() -> None:
    with pytest.raises(pytest_socket.SocketBlockedError):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def run_pytest(folder: Path, *options: str, require_all: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    own = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *own, *options, str(folder)],
        env={**os.environ, "TEST_INFRA_REQUIRE_ALL": require_all},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def suite_with_a_skip(tmp_path: Path) -> Path:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\ndef test_runs(): pass\n\ndef test_left_out(): pytest.skip('no such service here')\n"
    )
    return tmp_path


def test_last_line_names_what_was_not_run(suite_with_a_skip: Path) -> None:
    result = run_pytest(suite_with_a_skip, require_all="")

    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].endswith("test_one.py::test_left_out: no such service here")


def test_a_skip_is_red_where_everything_is_required(suite_with_a_skip: Path) -> None:
    result = run_pytest(suite_with_a_skip, require_all="1")

    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "red: TEST_INFRA_REQUIRE_ALL is set and 1 tests were not run"


WITH_WORKERS = ["-n", "2"]


def test_workers_tell_what_was_skipped_in_a_test_and_with_a_whole_file(suite_with_a_skip: Path) -> None:
    (suite_with_a_skip / "test_two.py").write_text(
        "import pytest\n\npytest.skip('no such file here', allow_module_level=True)\n"
    )

    result = run_pytest(suite_with_a_skip, *WITH_WORKERS, require_all="1")

    *_, in_a_test, whole_file, red = result.stdout.splitlines()
    assert result.returncode == 1, result.stdout + result.stderr
    assert in_a_test.endswith("test_one.py::test_left_out: no such service here")
    assert whole_file.endswith("test_two.py: no such file here")
    assert red == "red: TEST_INFRA_REQUIRE_ALL is set and 2 tests were not run"


@pytest.fixture
def suite_with_tests_for_ci(tmp_path: Path) -> Path:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\ndef test_runs(): pass\n\n"
        "@pytest.mark.ci(reason='a minute')\n@pytest.mark.parametrize('n', [1, 2])\ndef test_slow(n): pass\n\n"
        "@pytest.mark.ci(reason='an hour')\ndef test_slower(): pass\n"
    )
    return tmp_path


@pytest.mark.parametrize("workers", [[], WITH_WORKERS], ids=["alone", "workers"])
def test_what_is_left_to_ci_is_told_with_reasons_marker_count_and_command(
    suite_with_tests_for_ci: Path, workers: list[str]
) -> None:
    result = run_pytest(suite_with_tests_for_ci, *workers, "-m", "not ci", require_all="")

    assert result.returncode == 0
    assert result.stdout.splitlines()[-3:] == [
        "left to CI: 2 tests: a minute",
        "left to CI: 1 tests: an hour",
        "left to CI: 3 tests with the marker ci; with them: make test ALL=1",
    ]


@pytest.mark.parametrize("options", [["-m", "not ci"], ["-k", "runs"], [*WITH_WORKERS, "-m", "not ci"]])
def test_a_deselected_test_is_red_where_everything_is_required(
    suite_with_tests_for_ci: Path, options: list[str]
) -> None:
    result = run_pytest(suite_with_tests_for_ci, *options, require_all="1")

    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "red: TEST_INFRA_REQUIRE_ALL is set and 3 tests were not run"


def test_a_test_is_not_left_to_ci_without_a_reason(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import pytest\n\n@pytest.mark.ci\ndef test_slow(): pass\n")

    result = run_pytest(tmp_path, require_all="")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_one.py::test_slow: the marker ci needs a reason" in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("words", "everything"),
    [([], False), (["ALL=1"], True), (["ALL=0"], False), (["TEST_INFRA_REQUIRE_ALL=1"], True)],
)
def test_make_test_leaves_out_what_is_marked_ci_unless_all_is_asked_for(words: list[str], everything: bool) -> None:
    # A make that runs this test hands its own words on to every other one (MAKEFLAGS, MAKEOVERRIDES).
    of_the_caller = {"ALL", "TEST_INFRA_REQUIRE_ALL", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in of_the_caller}
    shown = subprocess.run(
        ["make", "--dry-run", "test", *words], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=30
    )

    (command,) = [line for line in shown.stdout.splitlines() if " -m pytest " in line]
    assert command.endswith("test_infra_tests")
    assert ("TEST_INFRA_REQUIRE_ALL=1" in command, '-m "not ci"' in command) == (everything, not everything)


def test_an_optional_skip_is_listed_and_not_red(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\ndef test_left_out(): pytest.skip('optional: no such thing')\n"
    )
    result = run_pytest(tmp_path, require_all="1")

    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].endswith("test_one.py::test_left_out: optional: no such thing")


@pytest.mark.parametrize(("require", "exit_code"), [("", 0), ("docker", 1)])
def test_without_docker_its_tests_are_named_in_one_line_and_red_where_it_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: str, exit_code: int
) -> None:
    (tmp_path / "test_one.py").write_text("def test_a(docker_image): pass\n\ndef test_b(docker_image): pass\n")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("TEST_INFRA_REQUIRE", require)

    result = run_pytest(tmp_path, require_all="")

    assert result.returncode == exit_code
    if require:
        assert "TEST_INFRA_REQUIRE names docker, but docker: no Docker engine answers" in result.stdout
    else:
        last = result.stdout.splitlines()[-1]
        assert last.startswith("not run: docker: no Docker engine answers")
        assert last.endswith(": 2 tests")


def test_a_whole_run_says_that_nothing_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_runs(): pass\n")

    result = run_pytest(tmp_path, require_all="1")

    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "not run: nothing was left out"


def test_every_locked_package_has_hashes_and_no_host() -> None:
    lock = (PROJECT / "requirements.txt").read_text()

    packages = re.split(r"\n(?=\S)", lock.strip())

    assert [package.splitlines()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert not re.search(r"https?://|--index|--find-links|--trusted-host", lock)


def test_delta_tables_are_read_only_where_arrow_reads_the_files_by_itself() -> None:
    asks = re.compile(r"\.to_pyarrow_(dataset|table)\(")
    sources = [
        path.relative_to(PROJECT).as_posix()
        for folder in ("test_infra", "test_infra_tests", "bench", "examples")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        if asks.search(path.read_text())
    ]
    assert sources == ["test_infra/cdc/lake/delta_reading.py"], "use open_table(...).dataset(); dataset_of() says why"


def test_lock_knows_every_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    locked = set(re.findall(r"^([A-Za-z0-9_.-]+)==", (PROJECT / "requirements.txt").read_text(), re.MULTILINE))

    names = {re.match(r"[A-Za-z0-9_.-]+", entry).group().lower() for entry in asked}

    assert names - locked == set()


def test_make_help_lists_the_verbs() -> None:
    result = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, timeout=30)

    verbs = set(re.findall(r"^  make (\S+)", result.stdout, re.MULTILINE))

    assert result.returncode == 0
    assert {"setup", "e2e", "test", "lint", "types", "layers", "definitions", "unit", "bench", "dev", "clean"} <= verbs


@pytest.mark.parametrize("script", ["run", "setup", "java", "docker"])
def test_ci_scripts_are_strict_and_parse(script: str) -> None:
    path = PROJECT / ".ci" / script

    assert "set -euo pipefail" in path.read_text()
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], timeout=10).returncode == 0


def interpreter_that(says: str, folder: Path) -> Path:
    """A program that runs set-up's question as an interpreter would for which `says` is true."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n(echo 'import sys, sysconfig'; echo '{says}'; cat) | exec {sys.executable} -\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("says", "seen"),
    [
        ("sys.version_info = (3, 10, 13)", "Python 3.10.13, and 3.11 to 3.14 is needed"),
        ("sys.version_info = (3, 15, 0)", "Python 3.15.0, and 3.11 to 3.14 is needed"),
        ('sys.implementation.name = "pypy"', "pypy, and the packages of the lock are built for CPython"),
        ("sysconfig.get_config_var = bool", "a free-threaded Python"),
    ],
)
def test_set_up_refuses_a_python_that_cannot_run_this_and_makes_nothing(says: str, seen: str, tmp_path: Path) -> None:
    ci = tmp_path / ".ci"
    ci.mkdir()
    (ci / "setup").write_text((PROJECT / ".ci" / "setup").read_text())
    named = interpreter_that(says, tmp_path)

    refused = subprocess.run(
        ["bash", ci / "setup"], env={**os.environ, "PYTHON": str(named)}, capture_output=True, text=True, timeout=30
    )

    assert refused.returncode == 3
    assert f"{named} is {seen}" in refused.stderr
    assert "make setup PYTHON=" in refused.stderr
    assert not (tmp_path / ".venv").exists()


def test_set_up_knows_the_range_that_the_package_claims() -> None:
    claimed = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", claimed).groups())

    assert f"(3, {low}) <= sys.version_info[:2] < (3, {high})" in (PROJECT / ".ci" / "setup").read_text()
