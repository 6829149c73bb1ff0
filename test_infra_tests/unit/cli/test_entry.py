"""Every end of a command is an exit code and a text for a person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from test_infra.base.errors import BadDocument, FieldProblem, InfrastructureError, UsageError
from test_infra.base.redaction import redact
from test_infra.cli import entry, tables
from test_infra.cli.exit_codes import ExitCode

SECRET = "correct-horse-battery"


def command_that(error: BaseException | None = None, returns: int | None = None) -> click.Command:
    @click.command("tried")
    def tried() -> int | None:
        if error is not None:
            raise error
        return returns

    return tried


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("there is no such table"), ExitCode.USAGE),
        (BadDocument("defs.yaml", [FieldProblem("defs.yaml:7", "unknown key")]), ExitCode.USAGE),
        (InfrastructureError("kafka is not usable after 30.0 s"), ExitCode.INFRASTRUCTURE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (click.UsageError("no such option"), ExitCode.USAGE),
        (ZeroDivisionError("a fault nobody foresaw"), ExitCode.INFRASTRUCTURE),
    ],
)
def test_every_error_has_its_exit_code(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry.cli.commands, "tried", command_that(error))

    assert entry.execute(["tried"]) == code


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_command_ends_with_the_code_it_returns(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry.cli.commands, "tried", command_that(returns=code))

    assert entry.execute(["tried"]) == code


def test_a_foreseeable_fault_is_text_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    error = InfrastructureError("kafka is not usable", details={"last seen": "refused"}, hint="test-infra doctor")
    monkeypatch.setitem(entry.cli.commands, "tried", command_that(error))

    entry.execute(["tried"])

    said = capsys.readouterr().err
    assert said.splitlines()[0] == "kafka is not usable"
    assert "test-infra doctor" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "error", [InfrastructureError(f"login failed for {SECRET}"), ValueError(f"cannot parse {SECRET}")]
)
def test_no_error_shows_a_secret(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    redact.learn(SECRET)
    monkeypatch.setitem(entry.cli.commands, "tried", command_that(error))

    entry.execute(["tried"])

    shown = capsys.readouterr()
    assert SECRET not in shown.err + shown.out
    assert "********" in shown.err


def test_an_unknown_option_is_a_usage_error() -> None:
    assert entry.execute(["status", "--no-such-option"]) == ExitCode.USAGE


def test_help_comes_at_once_and_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from test_infra.cli import entry\n"
        "assert entry.execute(['--help']) == 0\n"
        "heavy = {'dagster', 'pyspark', 'pandas', 'deltalake', 'duckdb', 'kafka', 'rich', 'psycopg', 'pydantic'}\n"
        "sys.exit(f'imported: {loaded}' if (loaded := heavy & set(sys.modules)) else 0)\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert result.returncode == 0, result.stderr
    assert "Exit codes: 0 green" in result.stdout


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    program = (
        "import click, sys\n"
        "from test_infra.cli import entry\n"
        "@click.command('much')\n"
        "def much():\n"
        "    for _ in range(100_000): click.echo('line')\n"
        "entry.cli.add_command(much)\n"
        "sys.exit(entry.execute(['much']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    process.stdout.readline()
    process.stdout.close()

    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 0
    assert said == ""


def cli(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from test_infra.cli import main; main()", *arguments],
        env={**os.environ, "TEST_INFRA_HOME": str(home), "TEST_INFRA_STACK": "nobody-started-me"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("verb", ["status", "env", "parity", "lag", "load"])
def test_without_a_stack_the_next_step_is_named(verb: str, tmp_path: Path) -> None:
    result = cli(tmp_path, verb, *(["shop"] if verb in {"parity", "lag", "load"} else []))

    assert result.returncode == ExitCode.INFRASTRUCTURE
    assert "nobody-started-me is not running" in result.stderr
    assert "test-infra up" in result.stderr
    assert result.stdout == ""


def test_down_without_a_stack_changes_nothing(tmp_path: Path) -> None:
    result = cli(tmp_path, "down")

    assert result.returncode == 0
    assert "was not running" in result.stderr


def test_logs_names_what_there_is(tmp_path: Path) -> None:
    folder = tmp_path / "stacks" / "nobody-started-me" / "logs"
    folder.mkdir(parents=True)
    (folder / "kafka.log").write_text("one\ntwo\nthree\n")

    assert cli(tmp_path, "logs", "kafka", "-n", "2").stdout == "two\nthree\n"
    missing = cli(tmp_path, "logs", "zookeeper")
    assert missing.returncode == ExitCode.USAGE
    assert "known:     kafka" in missing.stderr


def test_logs_never_shows_a_password(tmp_path: Path) -> None:
    folder = tmp_path / "stacks" / "nobody-started-me" / "logs"
    folder.mkdir(parents=True)
    (folder / "connect.log").write_text("jdbc:postgresql://capture:s3cr3t-word@127.0.0.1/db password=s3cr3t-word\n")

    assert "s3cr3t-word" not in cli(tmp_path, "logs", "connect").stdout


def test_reap_and_prune_on_an_empty_home(tmp_path: Path) -> None:
    reaped, pruned = cli(tmp_path, "reap"), cli(tmp_path, "prune", "--dry-run")

    assert (reaped.returncode, pruned.returncode) == (0, 0)
    assert "nothing was left behind" in reaped.stderr
    assert "would delete 0 runs" in pruned.stderr


def test_prune_deletes_what_is_old_and_keeps_what_is_new(tmp_path: Path) -> None:
    old, new = tmp_path / "runs" / "old", tmp_path / "runs" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    long_ago = time.time() - 30 * 86_400
    os.utime(old, (long_ago, long_ago))

    result = cli(tmp_path, "prune", "--older-than", "14d")

    assert "deleted 1 runs" in result.stderr
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (UsageError("there is no such table", hint="look"), ExitCode.USAGE, "there is no such table"),
        (InfrastructureError("no stack"), ExitCode.INFRASTRUCTURE, "no stack"),
        (ZeroDivisionError("by 0"), ExitCode.INFRASTRUCTURE, "unexpected ZeroDivisionError"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (click.UsageError("no such option"), ExitCode.USAGE, "no such option"),
    ],
)
def test_a_command_that_fails_prints_a_document_where_one_was_asked_for(
    error: BaseException, code: int, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    @click.command("tried")
    @click.option("--json", "machine", is_flag=True)
    def tried(*, machine: bool) -> int:
        raise error

    monkeypatch.setitem(entry.cli.commands, "tried", tried)

    assert entry.execute(["tried", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["green"], document["exit_code"], document["error"]["what"]) == (False, code, what)


def test_an_unknown_option_beside_json_is_a_document(capsys: pytest.CaptureFixture) -> None:
    assert entry.execute(["lag", "shop", "--jason", "--json"]) == ExitCode.USAGE
    assert "--jason" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_a_fault_after_the_document_prints_no_second_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    @click.command("tried")
    @click.option("--json", "machine", is_flag=True)
    def tried(*, machine: bool) -> int:
        tables.as_json({"green": True})
        raise InfrastructureError("the stack did not end")

    monkeypatch.setitem(entry.cli.commands, "tried", tried)

    assert entry.execute(["tried", "--json"]) == ExitCode.INFRASTRUCTURE
    assert json.loads(capsys.readouterr().out) == {"green": True}
