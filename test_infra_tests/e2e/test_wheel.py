"""The wheel as somebody installs it who has no clone: another user, an empty environment, a project of its own."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from test_infra.base.paths import cache
from test_infra_tests.e2e.shell import PROJECT

BIN = Path(sys.executable).parent
PYTHONS = (Path("/usr/bin/python3"), Path("/usr/local/bin/python3"), Path(os.path.realpath(sys.executable)))
"""The system's own Python first: on Debian 12 it is the oldest one that is claimed to work, 3.11.2."""
CLAIMED = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))"
NO_ARCHIVE = """
from test_infra.cdc.stream.control import JAR_GROUPS
from test_infra.spark.driver.class_archive import archive_of
archive_of(JAR_GROUPS).touch()
"""
"""Java refuses an empty archive of classes and starts without one: half a minute that proves nothing here."""
SPOIL = """
import os, sys
from deltalake import DeltaTable
from test_infra.cdc.lake.delta_reading import dataset_of
mirror = DeltaTable(os.environ["DELTA_TABLE_PATH"])
row = dataset_of(mirror).to_table(columns=["id"])["id"][0].as_py()
mirror.update(predicate=f"id = {row}", updates={"total": "total + 0.01"})
print(row)
"""

pytestmark = [
    pytest.mark.ci(reason="a whole run of the installed wheel, as another user"),
    pytest.mark.timeout(600),
]


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel and nothing else, and the user who runs it but may not write into it.

    Args:
        environment: the virtual environment.
        user: who runs the commands; where the tests are not root, the one who runs them.
        home: the user's home.
    """

    environment: Path
    user: str
    home: Path

    def run(
        self, *command: str | Path, cwd: Path | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        account = pwd.getpwnam(self.user)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            list(command),
            cwd=cwd or self.home,
            env={
                "PATH": os.pathsep.join([str(self.environment / "bin"), *_without_our_own(os.environ["PATH"])]),
                "HOME": str(self.home),
                "USER": self.user,
                "LANG": "C.UTF-8",
                **(more or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            **as_user,
        )

    def test_infra(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("test-infra", *arguments, cwd=cwd)


def _without_our_own(path: str) -> list[str]:
    return [folder for folder in path.split(os.pathsep) if folder != str(BIN) and not folder.startswith("/root")]


def _python() -> Path:
    """A Python that other users reach, of a version that is claimed to work."""
    for python in PYTHONS:
        reached = all(folder.stat().st_mode & 0o001 for folder in Path(os.path.realpath(python)).parents)
        if python.exists() and reached and subprocess.run([python, "-c", CLAIMED]).returncode == 0:
            return python
    pytest.fail(f"none of {', '.join(map(str, PYTHONS))} can be run by another user and is 3.11 to 3.14")


def _install(folder: Path) -> Path:
    """Build the wheel offline and install it; the packages are those of the lock, hard-linked from uv's cache."""
    environment = folder / "venv"
    quiet = {"capture_output": True, "text": True, "check": True, "timeout": 300}
    subprocess.run([BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=PROJECT, **quiet)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([BIN / "uv", "venv", "--python", _python(), environment], **quiet)
    pip = [BIN / "uv", "pip", "install", "--python", environment / "bin" / "python", wheel]
    locked = ["--constraint", PROJECT / "requirements.txt", "--link-mode", "hardlink"]
    try:
        subprocess.run([*pip, *locked, "--offline"], **quiet)
    except subprocess.CalledProcessError:  # the cache was emptied, or is of another Python
        subprocess.run([*pip, *locked], **quiet)
    return environment


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    folder.chmod(0o755)
    environment = _install(folder)
    if os.geteuid() == 0:
        user, home = f"ti-{secrets.token_hex(4)}", folder / "home"
        subprocess.run(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", user], check=True)
    else:
        user, home = pwd.getpwuid(os.geteuid()).pw_name, folder / "home"
        home.mkdir()
    used = Installed(environment, user, home)
    try:
        _give_jars(used)
        yield used
    finally:
        used.test_infra("down", cwd=home / "my-tests")
        if os.geteuid() == 0:
            subprocess.run(["userdel", user], check=True, capture_output=True)
            if user in {group.gr_name for group in grp.getgrall()}:
                subprocess.run(["groupdel", user], check=True)
        shutil.rmtree(folder)


def _give_jars(used: Installed) -> None:
    """The verified jars that are here already: what is proved is not the download."""
    jars = used.home / ".cache" / "test_infra" / "jars"
    shutil.copytree(cache() / "jars", jars)
    account = pwd.getpwnam(used.user)
    for path in (jars.parent.parent, jars.parent, jars, *jars.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    prepared = used.run(used.environment / "bin" / "python", "-c", NO_ARCHIVE)
    assert prepared.returncode == 0, prepared.stderr


def files_of(environment: Path) -> set[Path]:
    return {path for path in environment.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_a_new_project_from_bad_sql_over_green_to_a_planted_fault(installed: Installed) -> None:
    before, project = files_of(installed.environment), installed.home / "my-tests"
    made = installed.test_infra("init", "my-tests")
    assert made.returncode == 0, made.stderr
    sql = project / "my_tests" / "defs" / "billing" / "billing.sql"
    right = sql.read_text()

    sql.write_text(right.replace("CREATE TABLE", "CREATE TABEL"))
    refused = installed.test_infra("run", "e2e", "--keep-on", "red", "--ttl", "10m", cwd=project)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "end it: test-infra down" in refused.stderr
    assert installed.test_infra("status", cwd=project).returncode == 0

    sql.write_text(right)
    ran = installed.test_infra("run", "e2e", "--keep", cwd=project)  # and its load is stopped
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "GREEN  e2e: " in ran.stdout
    assert "billing/mirror/billing_lines" in ran.stdout

    variables = installed.test_infra("env", "--table", "billing_documents", cwd=project).stdout
    spoiled = installed.run("sh", "-c", 'eval "$1"; exec python -c "$2"', "sh", variables, SPOIL, cwd=project)
    assert spoiled.returncode == 0, spoiled.stderr
    red = installed.test_infra("run", "parity", "--only", "public.billing_documents", cwd=project)
    assert red.returncode == 1, red.stdout + red.stderr
    assert f"id={spoiled.stdout.strip()}" in red.stdout
    assert "RED  parity, only the part of public.billing_documents: exit code 1" in red.stdout
    assert "billing/mirror/billing_lines" not in red.stdout
    assert installed.test_infra("down", cwd=project).returncode == 0
    assert files_of(installed.environment) == before


def test_a_folder_without_a_project_has_the_built_in_one(installed: Installed) -> None:
    empty = installed.home / "empty"
    installed.run("mkdir", empty)
    asked = installed.test_infra("run", "no-such-job", cwd=empty)
    assert asked.returncode == 2
    assert "known:     e2e, parity, smoke, types" in asked.stderr
