"""What a stack is asked to be, and what it writes down."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from test_infra.base.errors import UsageError
from test_infra.base.redaction import MASK, redact
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.record import (
    BadRecord,
    ProcessId,
    StackFolders,
    StackRecord,
    boot_id,
    read_record,
    write_record,
)
from test_infra.stack.registry import services_of
from test_infra.stack.services import secret_files
from test_infra.stack.services.postgres import ExternalPostgres, PostgresSettings
from test_infra.stack.spec import Services, StackSpec


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path / "home"))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="heep_mib"):
        StackSpec.model_validate({"services": {"kafka": {"heep_mib": 1}}})


def test_a_left_out_service_that_another_needs_is_named() -> None:
    with pytest.raises(UsageError, match="service connect needs kafka"):
        services_of(StackSpec(services=Services(kafka=None)))


def test_an_external_service_without_its_password_names_the_variable() -> None:
    external = ExternalPostgres(
        host="127.0.0.1", database="d", owner_user="o", owner_password_env="NOT_SET_O", capture_user="c",
        capture_password_env="NOT_SET_C",
    )  # fmt: skip
    service = services_of(
        StackSpec(services=Services(postgres=PostgresSettings(external=external), kafka=None, connect=None))
    )
    with pytest.raises(UsageError, match="owner_password is not given") as refused:
        service["postgres"].endpoint(Path())  # type: ignore[arg-type]  # an external service takes a folder
    assert "NOT_SET_O" in str(refused.value)


def test_a_record_comes_back_as_it_was_written_and_is_private() -> None:
    folders = StackFolders("s1")
    folders.make()
    record = StackRecord(
        id="s1",
        keeper=ProcessId.of(os.getpid()),
        spec=StackSpec(),
        ports={"kafka": {"client": 1}},
        endpoints={"kafka": Endpoint(service="kafka", host="127.0.0.1", port=1, url="127.0.0.1:1")},
    )
    write_record(folders, record)
    assert read_record(folders) == record
    assert stat.S_IMODE(folders.record.stat().st_mode) == 0o600
    assert stat.S_IMODE(folders.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 2, "id": "s1", "spec": {}}'])
def test_a_record_that_cannot_be_read_says_what_to_try(text: str) -> None:
    folders = StackFolders("s1")
    folders.make()
    folders.record.write_text(text)
    with pytest.raises(BadRecord, match="reap"):
        read_record(folders)


def test_a_process_is_known_by_start_and_boot_not_by_its_id_alone() -> None:
    mine = ProcessId.of(os.getpid())
    assert mine.alive
    assert not mine.model_copy(update={"started_at": mine.started_at - 10}).alive
    assert not mine.model_copy(update={"boot_id": "another"}).alive
    assert mine.boot_id == boot_id()


def test_reading_a_secret_teaches_the_redactor(tmp_path: Path) -> None:
    path = secret_files.made(tmp_path, "owner_password")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    endpoint = Endpoint(service="postgres", host="h", port=1, url="u", secret_files={"owner_password": path})
    secret = endpoint.secret("owner_password")
    assert redact(f"it is {secret}!") == f"it is {MASK}!"
    assert secret not in endpoint.model_dump_json()
