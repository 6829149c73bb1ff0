"""Finds a Java that is new enough."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from test_infra.base.errors import InfrastructureError

OLDEST = 17
"""Spark 4.2 and Kafka 4.3 both need Java 17."""


class JavaMissing(InfrastructureError):
    """There is no Java, or only one that is too old."""


@dataclass(frozen=True)
class Java:
    """A usable Java.

    Args:
        path: the ``java`` program.
        version: major version, such as 17.
    """

    path: Path
    version: int

    @property
    def home(self) -> Path:
        """What Spark calls JAVA_HOME."""
        return self.path.resolve().parent.parent


def find_java() -> Java:
    """The Java of ``JAVA_HOME``, else of ``PATH``.

    Raises:
        JavaMissing: none found, or older than 17; carries the command that installs one here.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        raise JavaMissing(
            f"Java {OLDEST} or newer is missing",
            details={"looked in": f"JAVA_HOME={home}" if home else "PATH"},
            hint=install_command(),
        )
    version = _major_version(found)
    if version < OLDEST:
        raise JavaMissing(
            f"Java {OLDEST} or newer is missing",
            details={"found": f"{found} is Java {version}"},
            hint=install_command(),
        )
    return Java(Path(found), version)


def install_command() -> str:
    """The command that installs Java on this system."""
    if sys.platform == "darwin":
        return "brew install openjdk@17"
    for program, command in (
        ("apt-get", "apt-get install -y openjdk-17-jre-headless"),
        ("dnf", "dnf install -y java-17-openjdk-headless"),
        ("apk", "apk add openjdk17-jre-headless"),
        ("pacman", "pacman -S jre17-openjdk-headless"),
    ):
        if shutil.which(program):
            return command if os.geteuid() == 0 else f"sudo {command}"
    return f"install a Java {OLDEST} runtime and set JAVA_HOME"


def _major_version(java: str) -> int:
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else 0
