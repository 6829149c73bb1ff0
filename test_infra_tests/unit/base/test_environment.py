from __future__ import annotations

import pytest

from test_infra.base.environment import EVERYBODYS, inherited


def test_only_named_variables_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-caller")
    monkeypatch.delenv("TZ", raising=False)
    assert inherited()["LANG"] == "C.UTF-8"
    assert inherited("DOCKER_HOST")["DOCKER_HOST"] == "unix:///none.sock"
    assert inherited().keys() <= set(EVERYBODYS)
    assert not {"TZ", "AWS_SECRET_ACCESS_KEY", "DOCKER_HOST"} & inherited().keys()
