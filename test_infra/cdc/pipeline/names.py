"""What a pipeline is called in a stack, and where its files lie there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from test_infra.cdc.types.table_id import safe_name


@dataclass(frozen=True)
class PipelineNames:
    """Names of one pipeline in one stack. Unique per stack: no connector resumes another's offsets."""

    stack_id: str
    pipeline: str

    @property
    def connector(self) -> str:
        """Name in Kafka Connect."""
        return f"ti-{self.stack_id}-{self.pipeline}"

    @property
    def replication(self) -> str:
        """What the source keeps for the connector; in PostgreSQL slot and publication."""
        return f"ti_{self.stack_id}_{self.pipeline}".replace("-", "_")

    @property
    def topic_prefix(self) -> str:
        """First part of every topic of the connector."""
        return self.connector

    @property
    def stream(self) -> str:
        """Spark job name and Delta application id."""
        return self.connector

    @property
    def message_topic(self) -> str:
        """Kafka topic of the source's logical messages, as Debezium names it: heart-beats and markers."""
        return f"{self.topic_prefix}.message"

    def topic(self, schema: str, table: str) -> str:
        """Kafka topic of one table, as Debezium names it."""
        return debezium_topic(self.topic_prefix, schema, table)


_BLANK = "".join(map(chr, range(33)))
"""What Java's ``trim`` takes away."""


def debezium_topic(*parts: str) -> str:
    """The topic of a table as Debezium 3.7 names it, for the names of its prefix, schema and table.

    Its rule (``SchemaTopicNamingStrategy``, ``AbstractTopicNamingStrategy.sanitizedTopicName``): blank parts are left
    out, and each UTF-16 unit that Kafka does not take becomes an underscore. 63-byte names keep far below Kafka's 249.
    """
    joined = ".".join(part for part in parts if part.strip(_BLANK))
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: "_" * (len(found[0].encode("utf-16-le")) // 2), joined)


@dataclass(frozen=True)
class PipelineFolders:
    """Where a pipeline keeps its tables and state below a stack's folder."""

    stack_dir: Path
    pipeline: str

    @property
    def lake(self) -> Path:
        """Folder of the Delta tables."""
        return self.stack_dir / "lake" / self.pipeline

    @property
    def checkpoint(self) -> Path:
        """Spark's checkpoint of the stream."""
        return self.stack_dir / "checkpoints" / self.pipeline

    @property
    def record(self) -> Path:
        """The resolved pipeline, written when its source is prepared; CLI verbs read it."""
        return self.stack_dir / "pipelines" / f"{self.pipeline}.json"

    @property
    def history(self) -> Path:
        """Operations of the load generator, one JSON document per line."""
        return self.stack_dir / "pipelines" / f"{self.pipeline}.history.jsonl"

    def changes(self, label: str) -> Path:
        """Change log of one table."""
        return self.lake / "changes" / safe_name(label)

    def mirror(self, label: str) -> Path:
        """Mirror of one table."""
        return self.lake / "mirror" / safe_name(label)

    @property
    def quarantine(self) -> Path:
        """What could not be parsed, of all topics of the pipeline."""
        return self.lake / "quarantine"
