"""Every example's README is executed, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MARK = "<<ended with "


@dataclass(frozen=True)
class Line:
    """One command of a README.

    Args:
        command: what is typed.
        exit_code: what it must end with.
        words: what it must show.
    """

    command: str
    exit_code: int
    words: tuple[str, ...]


def lines_of(readme: str) -> list[Line]:
    lines = []
    for block in re.findall(r"```console\n(.*?)```", readme, re.DOTALL):
        for typed in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            command, _, expected = typed.partition("  # ")
            code, *words = expected.split() or ["0"]
            lines.append(Line(command.strip(), int(code), tuple(words)))
    return lines


def run_in_one_shell(lines: list[Line], folder: Path, home: Path) -> list[tuple[int, str]]:
    """Exit code and output of each line; the environment that a line exports is the next one's."""
    script = "".join(f"{line.command} 2>&1\necho '{MARK}'$?\n" for line in lines)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TEST_INFRA_HOME": str(home),
        "TEST_INFRA_STACK": f"example-{folder.name}",
    }
    result = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, timeout=500
    )
    shown = re.split(rf"{MARK}(\d+)\n", result.stdout)
    return [(int(code), text) for text, code in zip(shown[::2], shown[1::2], strict=False)]


@pytest.mark.ci(reason="whole runs, each with a load and many commands after it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/README.md")))
def test_example_does_what_its_readme_says(example: str, tmp_path: Path) -> None:
    lines = lines_of((EXAMPLES / example / "README.md").read_text())
    try:
        ended = run_in_one_shell(lines, EXAMPLES / example, tmp_path / "home")
    finally:
        subprocess.run(
            [sys.executable, "-c", "from test_infra.cli import main; main()", "down"],
            env={**os.environ, "TEST_INFRA_HOME": str(tmp_path / "home"), "TEST_INFRA_STACK": f"example-{example}"},
            timeout=60,
        )

    assert len(lines) >= 1
    for line, (code, shown) in zip(lines, ended, strict=True):
        assert code == line.exit_code, f"{line.command}\n{shown}"
        assert [word for word in line.words if word not in shown] == [], f"{line.command}\n{shown}"
