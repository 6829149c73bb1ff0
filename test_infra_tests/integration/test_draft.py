"""`test-infra draft` on a live database: what it writes can be prepared there, and has no password in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.sources.postgres import connect
from test_infra.cdc.sources.postgres.survey import survey
from test_infra.cli import entry
from test_infra.cli.init import make_project
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

DDL = """
CREATE SCHEMA sales; CREATE SCHEMA "Hr"; CREATE SCHEMA empty;
CREATE TABLE sales.customers (id bigint PRIMARY KEY, name text,
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE sales."yes" (id int PRIMARY KEY);
CREATE TABLE sales."order.lines" (id int, "no 1" int, PRIMARY KEY (id, "no 1"));
CREATE TABLE sales.documents (id int PRIMARY KEY, body xml, title text);
CREATE TABLE sales.log (at timestamptz);
CREATE UNLOGGED TABLE sales.scratch (id int PRIMARY KEY);
CREATE TABLE sales.tenants (id int PRIMARY KEY); ALTER TABLE sales.tenants ENABLE ROW LEVEL SECURITY;
CREATE TABLE "Hr".people (id int PRIMARY KEY);
CREATE VIEW sales.names AS SELECT name FROM sales.customers;
CREATE TABLE sales.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE sales.parts_1 PARTITION OF sales.parts FOR VALUES FROM (0) TO (10);
"""


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    lease = AttachedLease()
    running = up(StackSpec(services=Services(kafka=None, connect=None)), lease=lease, stack_id="testdraft")
    with connect(running.endpoint("postgres"), "owner") as connection:
        connection.execute(DDL.encode())
    yield running
    lease.release()
    down("testdraft")


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    endpoint = stack.endpoint("postgres")
    properties = endpoint.properties
    return (
        f"postgres://{properties['owner_user']}:{endpoint.secret('owner_password')}"
        f"@{endpoint.host}:{endpoint.port}/{properties['database']}"
    )


def drafted(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, list[Any]]:
    code = entry.execute(["draft", *arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out, list(yaml.safe_load_all(said.out))


def test_a_draft_of_two_schemas_can_be_prepared_in_its_database(
    stack: Stack, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, (pipeline, service) = drafted(capsys, "--from", url, "--schema", "sales", "--schema", "Hr")

    spec = PipelineSpec.model_validate(pipeline["attributes"])
    assert [entry.label for entry in spec.entries] == [
        "Hr.people",
        "customers",
        "documents",
        '"order.lines"',
        "parts",
        "yes",
    ]
    assert spec.load is None
    prepared = {schema.label: schema for schema in prepare(RunningPipeline(stack, spec))}
    assert [column.name for column in prepared["documents"].columns] == ["id", "title"]
    external = service["attributes"]["services"]["postgres"]["external"]
    properties = stack.endpoint("postgres").properties
    assert (external["owner_user"], external["capture_user"]) == (properties["owner_user"], properties["capture_user"])
    assert external["owner_password_env"] == "SALES_OWNER_PASSWORD"
    assert stack.endpoint("postgres").secret("owner_password") not in text


@pytest.mark.parametrize(
    "words",
    [
        "6 of 9 tables can be captured",
        "# - log\n    #     table sales.log has no primary key, and no unique index",
        "# - scratch\n    #     table sales.scratch is unlogged",
        "# - tenants\n    #     table sales.tenants has row level security",
        "- body  # xml: ",
        "# not captured, because generated: upper_name",
    ],
)
def test_what_cannot_be_captured_is_a_comment_with_the_reason(
    url: str, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    text, _ = drafted(capsys, "--from", url, "--schema", "sales", "--schema", "Hr")
    assert words in text


def test_it_is_written_into_the_project_and_a_changed_stack_is_left_alone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    defs = tmp_path / "mine" / "mine" / "defs"
    assert entry.execute(["draft", "--from", url, "--schema", "Hr", "--write"]) == 0
    assert "tables:\n    - people\n" in (defs / "hr" / "defs.yaml").read_text()
    stack = (defs / "stack" / "defs.yaml").read_text()
    assert "owner_password_env: HR_OWNER_PASSWORD" in stack
    assert entry.execute(["draft", "--from", url, "--schema", "Hr", "--write"]) == 2
    capsys.readouterr()
    assert entry.execute(["draft", "--from", url, "--schema", "sales", "--write"]) == 0
    assert "is left as it is" in capsys.readouterr().out
    assert (defs / "stack" / "defs.yaml").read_text() == stack


@pytest.mark.parametrize(
    ("schema", "seen"),
    [("Sales", "has no schema Sales"), ("empty", "no table of empty can be captured")],
)
def test_a_schema_without_tables_or_that_is_not_there_is_refused(
    url: str, schema: str, seen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.execute(["draft", "--from", url, "--schema", schema]) == 2
    assert seen in capsys.readouterr().err


def test_a_wrong_password_is_refused_and_never_shown(url: str) -> None:
    wrong = "not-the-password-4711"
    password = url.partition("@")[0].rpartition(":")[2]
    with pytest.raises(InfrastructureError) as refused:
        survey(url.replace(password, wrong), ["sales"])
    assert wrong not in str(refused.value)
    assert "password authentication failed" in str(refused.value)


def test_nobody_there_and_what_is_no_address_are_told_apart() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(InfrastructureError, match="cannot be reached"):
            survey(f"postgres://a@127.0.0.1:{port}/b", ["public"])
    with pytest.raises(UsageError, match="no address of a PostgreSQL database"):
        survey("postgres://a@b:port/c?nonsense=1", ["public"])
