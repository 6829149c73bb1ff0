"""Heart-beats among the records of a micro-batch become changes of a table of ours; other messages leave no trace."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.pipeline.heartbeat import LABEL, heartbeat_table
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.beats import Beats, with_beats
from test_infra.cdc.types.table_id import parse_table
from test_infra_tests.unit.cdc.events import ORDERS, TOPIC, records, upsert

BEATS = Beats("c.message", "test_infra_beat_ti_1_shop")
SOURCE = {"lsn": 40, "txId": 700, "ts_us": 1_700_000_000_000_000}


def message(prefix: str, content: str, **other: Any) -> bytes:
    event = {"op": "m", "ts_us": 1, "source": SOURCE, "message": {"prefix": prefix, "content": content}}
    return json.dumps({**event, **other}).encode()


def beat(token: str) -> bytes:
    return message(BEATS.prefix, base64.b64encode(token.encode()).decode())


def on_topic(*values: bytes | None) -> pa.Table:
    """Records of the topic of messages, as Spark's Kafka source gives them."""
    return records([(b"{}", value) for value in values], topic=BEATS.topic)


@pytest.mark.parametrize(
    "value",
    [
        message("test_infra", ""),
        message("test_infra_beat_ti_2_shop", "YQ=="),
        message("outbox", base64.b64encode(b'{"order": 1}').decode()),
        message(BEATS.prefix, "no base64"),
        b"no JSON",
        b"[1]",
        None,
    ],
    ids=["marker", "another pipeline's", "a user's", "unreadable content", "no JSON", "a list", "tombstone"],
)
def test_message_that_is_no_heart_beat_is_left_out(value: bytes | None) -> None:
    other = records([upsert("c", 1, 10, "a")])
    assert with_beats(pa.concat_tables([other, on_topic(value)]), BEATS).equals(other)


def test_heart_beats_reach_a_mirror_as_every_change(tmp_path: Path) -> None:
    places = [Location.of(tmp_path / name) for name in ("changes", "mirror", "b_changes", "b_mirror", "quarantine")]
    changes, mirror, beat_changes, beat_mirror, quarantine = places
    targets = Targets({"orders": changes, LABEL: beat_changes}, {"orders": mirror, LABEL: beat_mirror}, quarantine)
    schemas = {TOPIC: ORDERS, BEATS.topic: heartbeat_table("postgres")}
    with closing(Applier(schemas, targets, stream_id="s", tx_id_reference=1, beats=BEATS)) as applier:
        given = pa.concat_tables([records([upsert("c", 1, 10, "a")]), on_topic(message("test_infra", ""), beat("one"))])
        assert applier.apply(given, 0).records == 2
        applier.wait_for_mirrors(Deadline(30))
    assert open_table(beat_mirror).rows(["token", "_lsn"]).read_all().to_pylist() == [{"token": "one", "_lsn": 40}]
    assert open_table(beat_changes).newest_applied().offsets == {0: 2}
    assert open_table(mirror).dataset().count_rows() == 1
    assert open_table(quarantine).dataset().count_rows() == 0


def test_no_captured_table_is_called_like_that_of_the_heart_beats() -> None:
    for written in (f'"{LABEL}"', '"*heart-beat*"', "heart-beat"):
        assert parse_table(written, "public").label != LABEL
