"""What our sessions ask for, and that a server which did not give it is told from one that did."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.connection import conninfo
from test_infra.cdc.sources.postgres.session_settings import OURS, WITHOUT_LIMITS, check_taken, options
from test_infra.stack import Endpoint


def test_a_blank_in_a_value_is_escaped() -> None:
    assert "-c default_transaction_isolation=read\\ committed" in options(OURS, "18.1")


@pytest.mark.parametrize(("version", "asked"), [("", False), ("16.3", False), ("17.0", True), ("18.1 (Debian)", True)])
def test_a_setting_that_an_older_server_refuses_is_asked_of_a_newer_one_only(version: str, *, asked: bool) -> None:
    assert ("transaction_timeout=0" in options(OURS, version)) is asked


def test_sql_of_the_user_is_read_as_in_the_users_own_session() -> None:
    assert not {"datestyle", "timezone", "row_security"} & set(WITHOUT_LIMITS)
    assert WITHOUT_LIMITS["statement_timeout"] == "0"


def test_a_session_asks_for_its_settings_and_for_utf8(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a secret")
    endpoint = Endpoint(
        service="postgres",
        host="db",
        port=5432,
        url="",
        version="18.1",
        properties={"database": "shop", "owner_user": "owner"},
        secret_files={"owner_password": tmp_path / "password"},
    )
    asked = conninfo_to_dict(conninfo(endpoint, "owner"))
    assert asked["client_encoding"] == "UTF8"
    assert asked["options"] == options(OURS, "18.1")


def test_settings_that_were_dropped_on_the_way_are_named() -> None:
    taken = {name: value.upper() for name, value in OURS.items()} | {
        "datestyle": "ISO, MDY",
        "transaction_timeout": "0",
    }
    check_taken(_answering(taken), "18.1", "owner")
    with pytest.raises(UsageError, match="sessions of role owner") as refused:
        check_taken(_answering({**taken, "bytea_output": "escape"}), "18.1", "owner")
    assert refused.value.details == {"bytea_output": "escape, not hex"}


def _answering(settings: dict[str, str]) -> Any:
    return SimpleNamespace(execute=lambda *_: SimpleNamespace(fetchall=lambda: list(settings.items())))
