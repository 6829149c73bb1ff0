"""Topics of a pipeline: made before the connector, counted, read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.stack.services.kafka import LARGEST_MESSAGE_BYTES
from test_infra.stack.services.kafka_clients import Brokers

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

REQUEST_TIMEOUT_MS = 10_000
TOPIC_CONFIG = {"max.message.bytes": str(LARGEST_MESSAGE_BYTES), "compression.type": "uncompressed"}
"""Of every topic: records as large as the connector may send, and logs whose size is that of their records."""


class TopicMissing(InfrastructureError):
    """A topic does not exist."""


@dataclass(frozen=True)
class Record:
    """One record as it lies in Kafka; ``timestamp_ms`` is epoch milliseconds."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class TopicExtent:
    """Which topic it is and what it has.

    Args:
        topic_id: Kafka's own; another after the topic was deleted and made again under its name.
        starts: partition -> first offset that is still there.
        ends: partition -> end offset, exclusive.
    """

    topic_id: str
    starts: dict[int, int]
    ends: dict[int, int]


class LogSizes:
    """How many bytes the logs of some topics hold, asked over one connection.

    That is the size of the records: `create_topics` makes topics that brokers keep uncompressed.

    Args:
        bootstrap: Kafka brokers.
        topics: their names.
    """

    def __init__(self, bootstrap: Brokers | str, topics: Iterable[str]) -> None:
        self._bootstrap = bootstrap
        self._topics = list(topics)
        self._admin: KafkaAdminClient | None = None

    def total(self) -> int | None:
        """Bytes now, of all replicas; None when the brokers do not tell."""
        from kafka.errors import KafkaError

        try:
            if self._admin is None:
                self._admin = _admin(self._bootstrap)
            brokers = self._admin.describe_log_dirs(self._topics)
        except KafkaError:
            self.close()
            return None
        folders = [folder for broker in brokers for folder in broker["log_dirs"]]
        if not folders or any(folder["error_code"] for folder in folders):
            return None
        parts = [part for folder in folders for topic in folder["topics"] for part in topic["partitions"]]
        return sum(int(part["partition_size"]) for part in parts)

    def close(self) -> None:
        """Close the connection; `total` opens it again."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def create_topics(bootstrap: Brokers | str, topics: Mapping[str, int]) -> None:
    """Make topics (name -> partitions) that are not there, and wait until the broker lists them all.

    A captured table has no topic before its first event, and Spark's Kafka source ends when a topic is missing.

    Raises:
        InfrastructureError: the broker refused one.
    """
    from kafka.admin import NewTopic
    from kafka.errors import InvalidTopicError, KafkaError, TopicAlreadyExistsError

    with closing(_admin(bootstrap)) as admin:
        present = set(admin.list_topics())
        missing = {
            name: NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs=TOPIC_CONFIG)
            for name, partitions in topics.items()
            if name not in present
        }
        try:
            if missing:
                admin.create_topics(list(missing.values()))
        except KafkaError:
            # One by one, to tell which it is.
            for name, topic in missing.items():
                try:
                    admin.create_topics([topic])
                except TopicAlreadyExistsError:
                    continue
                except InvalidTopicError as error:
                    raise UsageError(
                        f"topic {name} is refused by the broker",
                        details={"broker": str(error)},
                        hint="the name is made of the schema's and the table's: leave the table out of the pipeline",
                    ) from error
                except KafkaError as error:
                    raise InfrastructureError(f"topic {name} was not made", details={"broker": str(error)}) from error
    wait_for_topics(bootstrap, topics, Deadline(REQUEST_TIMEOUT_MS / 1_000))


def delete_topics(bootstrap: Brokers | str, topics: Iterable[str]) -> None:
    """Delete topics; those that are not there are fine.

    Raises:
        InfrastructureError: the broker refused.
    """
    from kafka.errors import KafkaError

    try:
        with closing(_admin(bootstrap)) as admin:
            if there := sorted(set(topics) & set(admin.list_topics())):
                admin.delete_topics(there)
    except KafkaError as error:
        raise InfrastructureError("topics were not deleted", details={"broker": str(error)}) from error


def wait_for_topics(bootstrap: Brokers | str, topics: Iterable[str], deadline: Deadline) -> None:
    """Wait until the broker lists every topic.

    Raises:
        NotReady: one was still missing at the deadline.
    """
    wanted = set(topics)
    with closing(_admin(bootstrap)) as admin:

        def listed() -> None:
            if missing := wanted - set(admin.list_topics()):
                raise StillWaiting(f"missing: {', '.join(sorted(missing))}")

        wait_for(listed, deadline, what="topics", awaited=f"{', '.join(sorted(wanted))} on {bootstrap}")


def end_offsets(bootstrap: Brokers | str, topic: str) -> dict[int, int]:
    """Partition -> end offset, exclusive, read now.

    Raises:
        TopicMissing: there is no such topic; without this check the client would wait for it.
    """
    return end_offsets_of(bootstrap, [topic])[topic]


def end_offsets_of(bootstrap: Brokers | str, topics: Iterable[str]) -> dict[str, dict[int, int]]:
    """Topic -> partition -> end offset, exclusive, over one connection.

    Raises:
        TopicMissing: one of the topics does not exist.
    """
    from kafka import TopicPartition

    with closing(_consumer(bootstrap)) as consumer:
        present, wanted = consumer.topics(), list(topics)
        if missing := [topic for topic in wanted if topic not in present]:
            raise TopicMissing(f"there is no topic {missing[0]}", details={"broker": str(bootstrap)})
        partitions = [
            TopicPartition(topic, number) for topic in wanted for number in sorted(consumer.partitions_for_topic(topic))
        ]
        found: dict[str, dict[int, int]] = {topic: {} for topic in wanted}
        for part, end in consumer.end_offsets(partitions).items():
            found[part.topic][part.partition] = end
        return found


def extents_of(bootstrap: Brokers | str, topics: Iterable[str]) -> dict[str, TopicExtent]:
    """Topic -> which topic it is and which offsets it has, read now; topics that do not exist are left out."""
    from kafka import TopicPartition

    wanted = list(topics)
    with closing(_admin(bootstrap)) as admin:
        described = {topic["name"]: topic for topic in admin.describe_topics(wanted) if not topic["error_code"]}
    with closing(_consumer(bootstrap)) as consumer:
        parts_of = {
            name: [TopicPartition(name, part["partition_index"]) for part in topic["partitions"]]
            for name, topic in described.items()
        }
        every = [part for parts in parts_of.values() for part in parts]
        starts, ends = consumer.beginning_offsets(every), consumer.end_offsets(every)
        return {
            name: TopicExtent(
                topic_id=str(described[name]["topic_id"]),
                starts={part.partition: starts[part] for part in parts},
                ends={part.partition: ends[part] for part in parts},
            )
            for name, parts in parts_of.items()
        }


def read_records(
    bootstrap: Brokers | str, topic: str, partition: int, start: int, end: int, *, timeout_s: float = 30.0
) -> Iterator[Record]:
    """Records of one partition from ``start`` up to ``end``, exclusive; control records are not among them.

    Raises:
        NotReady: the broker did not give the whole range in time.
    """
    from kafka import TopicPartition

    place = TopicPartition(topic, partition)
    deadline = Deadline(timeout_s)
    with closing(_consumer(bootstrap)) as consumer:
        consumer.assign([place])
        consumer.seek(place, start)
        while consumer.position(place) < end:
            if deadline.expired:
                raise InfrastructureError(
                    f"records of {topic} were not read in {timeout_s:.0f} s",
                    details={"awaited": f"offsets {start} to {end} of partition {partition}"},
                )
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                if record.offset < end:
                    yield Record(partition, record.offset, record.timestamp, record.key, record.value)


def _admin(bootstrap: Brokers | str) -> KafkaAdminClient:
    from kafka.admin import KafkaAdminClient

    return KafkaAdminClient(**Brokers.of(bootstrap).python_client(), request_timeout_ms=REQUEST_TIMEOUT_MS)


def _consumer(bootstrap: Brokers | str) -> KafkaConsumer:
    from kafka import KafkaConsumer

    return KafkaConsumer(**Brokers.of(bootstrap).python_client(), enable_auto_commit=False)
