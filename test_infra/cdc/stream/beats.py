"""Heart-beats among a micro-batch's records, rewritten as change events so that everything behind treats them alike."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from test_infra.cdc.pipeline.heartbeat import BEAT, TOKEN

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Beats:
    """How the heart-beats of a pipeline are known.

    Args:
        topic: the connector's topic of messages.
        prefix: of the messages that are this pipeline's heart-beats. Others are on the topic, too: markers of the
            judge, heart-beats of other pipelines of the same database, messages of the user's own programs.
    """

    topic: str
    prefix: str


def with_beats(records: pa.Table, beats: Beats) -> pa.Table:
    """The records, with each heart-beat as a change event of the heart-beat table, and without all other messages.

    A message that cannot be read is left out: a heart-beat that does not arrive is red.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_message = pc.equal(records["topic"], beats.topic)
    if not pc.any(is_message).as_py():
        return records
    rows = [
        {**record, "key": json.dumps({BEAT: beats.prefix}).encode(), "value": json.dumps(change).encode()}
        for record in records.filter(is_message).to_pylist()
        if (change := _change(record["value"], beats.prefix)) is not None
    ]
    return pa.concat_tables(
        [records.filter(pc.invert(is_message)), pa.Table.from_pylist(rows, schema=records.schema)]
    ).combine_chunks()


def _change(value: bytes | None, prefix: str) -> dict[str, Any] | None:
    """A message of Debezium as a change event; None when it is no heart-beat of this prefix."""
    try:
        event = json.loads(value or b"null")
        message, source = event["message"], event["source"]
        if message["prefix"] != prefix:
            return None
        token = base64.b64decode(message["content"], validate=True).decode()
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None
    after = {BEAT: prefix, TOKEN: token}
    return {"op": "u", "before": None, "after": after, "source": source, "ts_us": event.get("ts_us")}
