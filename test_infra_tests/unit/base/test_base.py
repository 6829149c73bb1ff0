"""Paths, ids, deadlines, errors, redaction."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
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


@pytest.mark.parametrize("label", ["password", "secret", "token", "api_key", "billing.access-key"])
@pytest.mark.parametrize("value", ['{"rows": 1}', "[1, 2]", "17", "null", '"seen 99"', '"a \\" b"'])
def test_the_text_of_a_json_document_stays_json(label: str, value: str) -> None:
    masked = json.loads(Redactor()(f'{{"{label}": {value}, "next": 1}}'))

    assert set(masked) == {label, "next"}
    assert "99" not in str(masked)


def test_a_secret_of_several_words_is_masked_whole() -> None:
    assert Redactor()("password = 'two words' x") == f"password = '{MASK}' x"


def test_a_document_that_is_read_back_keeps_its_labels_and_numbers_whatever_the_password_is() -> None:
    status = {"unknown": 1000, "refusals": {"orders": [{"words": "role has password unknown, not 1000"}]}}
    assert Redactor(["unknown", "1000"]).fields(status) == {
        "unknown": 1000,
        "refusals": {"orders": [{"words": "role has password ********, not ********"}]},
    }


def test_a_document_keeps_the_names_of_tables_and_masks_what_they_name() -> None:
    document = {
        "password": {"rows": 3, "column": "x"},
        "token": "t0ps3cret",
        "secret": ["t0ps3cret", None],
        "api_key": "",
    }

    assert Redactor().document(document) == {
        "password": {"rows": 3, "column": "x"},
        "token": MASK,
        "secret": [MASK, None],
        "api_key": "",
    }


_NAMES = st.sampled_from(["password", "secret", "token", "api_key", "a.password", "rows", 'a"b']) | st.text(max_size=8)
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(
    st.recursive(
        _VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=12
    ),
    st.text(alphabet='xyz"\\\n\u00e4', min_size=4, max_size=9),
    st.data(),
)
def test_a_redacted_document_is_json_without_a_secret(document: object, secret: str, data: st.DataObject) -> None:
    planted = data.draw(
        st.sampled_from(
            [document, secret, f"a{secret}b", {secret: document}, [document, {"x": secret}], {"password": 1}]
        )
    )

    written = json.dumps(Redactor([secret]).document({"all": planted, "asked": secret}), allow_nan=False)

    def texts(read: object) -> Iterator[str]:
        if isinstance(read, dict):
            yield from read
            for item in read.values():
                yield from texts(item)
        elif isinstance(read, list):
            for item in read:
                yield from texts(item)
        elif isinstance(read, str):
            yield read

    assert not any(secret in text for text in texts(json.loads(written)))
