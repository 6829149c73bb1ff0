"""Paths, ids, deadlines, errors, redaction."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import BadDocument, FieldProblem, NotReady, TestInfraError, UsageError
from test_infra.base.ids import slug, stack_id_of
from test_infra.base.paths import safe_join, write_private
from test_infra.base.redaction import MASK, Redactor


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_joined_path_stays_inside_or_is_refused(parts: list[str]) -> None:
    root = Path("/tmp").resolve()
    try:
        joined = safe_join(root, *parts)
    except (UsageError, ValueError, OSError):  # NUL bytes and overlong names are refused by the system itself
        return
    assert joined.is_relative_to(root)
    assert joined != root


@pytest.mark.parametrize("part", ["..", "../x", "/etc/passwd", "a/../../x", "."])
def test_a_path_that_leaves_is_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(UsageError, match="leaves its folder"):
        safe_join(tmp_path, part)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(UsageError):
        safe_join(tmp_path, "link", "passwd")


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a b", "a" * 41, "a\n"])
def test_names_that_would_harm_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        slug(name)


def test_a_checkout_always_gets_the_same_stack(tmp_path: Path) -> None:
    assert stack_id_of(tmp_path) == stack_id_of(tmp_path / "x" / "..")
    assert stack_id_of(tmp_path) != stack_id_of(tmp_path / "x")


def test_a_wait_says_what_was_awaited_and_what_was_seen(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("first\nlog.dirs is not writable\n")

    def never() -> None:
        raise StillWaiting("connection refused")

    with pytest.raises(NotReady) as late:
        wait_for(
            never,
            Deadline(0.05),
            what="kafka",
            awaited="a metadata answer",
            interval_s=0.01,
            log=log,
            hint="doctor",
        )
    text = str(late.value)
    for part in (
        "kafka is not usable after",
        "a metadata answer",
        "connection refused",
        "log.dirs is not writable",
        "doctor",
    ):
        assert part in text


def test_a_wait_ends_at_once_on_what_is_no_wait() -> None:
    def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        wait_for(broken, Deadline(10), what="x", awaited="y")


def test_a_part_of_a_deadline_never_outlives_the_whole() -> None:
    assert Deadline(1).within(60).timeout_s <= 1


def test_errors_show_each_refused_field() -> None:
    error = BadDocument(
        "defs.yaml", [FieldProblem("defs.yaml:3", "unknown key 'tabels'"), FieldProblem("defs.yaml:9", "x")]
    )
    assert str(error).splitlines() == [
        "defs.yaml is refused",
        "  defs.yaml:3: unknown key 'tabels'",
        "  defs.yaml:9: x",
    ]
    assert error.exit_code == 2
    assert TestInfraError("x").exit_code == 3


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter22@h/db",
        "password=hunter22",
        '"password": "hunter22"',
        "x hunter22 y",
        "TOKEN: hunter22",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    redactor = Redactor(["hunter22"])
    assert "hunter22" not in redactor(text)
    assert MASK in redactor(text)


@pytest.mark.parametrize("text", ["postgresql://me:unseen99@h/db", "owner_password=unseen99", "api.token: unseen99"])
def test_what_looks_like_a_secret_is_masked_too(text: str) -> None:
    assert "unseen99" not in Redactor()(text)
