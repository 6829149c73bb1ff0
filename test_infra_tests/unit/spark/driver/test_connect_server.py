from __future__ import annotations

import pytest

from test_infra.base.redaction import redact
from test_infra.spark.driver.connect_address import connect_url
from test_infra.spark.driver.connect_server import Use, reason_to_end


@pytest.mark.parametrize(
    ("use", "now", "reason"),
    [
        (Use(None, working=False), 109, None),
        (Use(None, working=False), 110, "no session was used for 10 s"),
        (Use(105, working=False), 112, None),
        (Use(105, working=False), 115, "no session was used for 10 s"),
        (Use(50, working=False), 109, None),
        (Use(105, working=True), 199, None),
        (Use(199, working=True), 200, "its longest time, 100 s, is over"),
    ],
)
def test_a_server_ends_when_idle_or_old(use: Use, now: float, reason: str | None) -> None:
    assert reason_to_end(use, now=now, ready_at=100, idle_ttl_s=10, max_ttl_s=100) == reason


def test_an_address_is_masked_wherever_it_is_printed() -> None:
    assert "abcdef123456" not in redact(connect_url(15002, "abcdef123456"))
