"""A stack as its user describes it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

BACKEND_VARIABLE = "TEST_INFRA_BACKEND"


class Backend(StrEnum):
    """Where the processes of a stack run."""

    LOCAL = "local"
    DOCKER = "docker"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExternalPostgres(_Part):
    """A PostgreSQL that is already there."""

    host: str = Field(description="Host name or address.")
    port: int = Field(default=5432, ge=1, le=65535, description="Port.")
    database: str = Field(description="Database that holds the captured tables.")
    owner_user: str = Field(description="Role that owns the tables and may create a publication.")
    owner_password_env: str = Field(description="Environment variable that holds the owner's password.")
    capture_user: str = Field(description="Role with LOGIN and REPLICATION that Debezium uses.")
    capture_password_env: str = Field(description="Environment variable that holds the capture role's password.")


class ExternalKafka(_Part):
    """A Kafka cluster that is already there."""

    host: str = Field(description="Host name or address of one broker.")
    port: int = Field(default=9092, ge=1, le=65535, description="Port of its client listener.")


class ExternalConnect(_Part):
    """A Kafka Connect worker, with Debezium installed, that is already there."""

    host: str = Field(description="Host name or address of its REST interface.")
    port: int = Field(default=8083, ge=1, le=65535, description="Port of its REST interface.")
    secrets_file: str = Field(
        description="Properties file, as the worker sees it, that holds the key capture_password."
    )


class PostgresSettings(_Part):
    """PostgreSQL 18, single node, logical replication on."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed port; None takes a free one.")
    shared_buffers_mib: int = Field(default=128, ge=16, description="Shared buffers, MiB.")
    memory_limit_mib: int = Field(default=2_048, ge=256, description="Resident memory beyond which it is killed, MiB.")
    external: ExternalPostgres | None = Field(default=None, description="Attach to this one instead of starting one.")


class KafkaSettings(_Part):
    """Kafka 4.3, one node that is broker and controller (KRaft)."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed client port; None takes a free one.")
    heap_mib: int = Field(default=384, ge=128, description="Java heap, MiB.")
    memory_limit_mib: int = Field(default=1_024, ge=256, description="Resident memory beyond which it is killed, MiB.")
    external: ExternalKafka | None = Field(default=None, description="Attach to this one instead of starting one.")


class ConnectSettings(_Part):
    """Kafka Connect 4.3, one distributed worker with the Debezium connector for PostgreSQL."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed REST port; None takes a free one.")
    heap_mib: int = Field(default=512, ge=192, description="Java heap, MiB.")
    memory_limit_mib: int = Field(default=1_280, ge=320, description="Resident memory beyond which it is killed, MiB.")
    offset_flush_interval_ms: int = Field(
        default=200, ge=50, description="How often offsets are committed, milliseconds."
    )
    external: ExternalConnect | None = Field(default=None, description="Attach to this one instead of starting one.")


class GatewaySettings(_Part):
    """The Spark gateway: an HTTP API for Spark jobs of this stack, on loopback."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed port; None takes a free one.")
    most_active: int | None = Field(
        default=8, ge=1, description="How many Spark jobs may have a driver at once; more of them are queued."
    )
    allowed_conf: tuple[str, ...] = Field(
        default=(),
        description="Spark properties that jobs may set though they open holes, such as spark.jars.packages.",
    )
    memory_limit_mib: int = Field(default=512, ge=128, description="Resident memory beyond which it is killed, MiB.")


class Services(_Part):
    """The services of a stack. One that is not named takes its defaults; null leaves it out."""

    postgres: PostgresSettings | None = Field(default=PostgresSettings(), description="Source database.")
    kafka: KafkaSettings | None = Field(default=KafkaSettings(), description="Broker.")
    connect: ConnectSettings | None = Field(default=ConnectSettings(), description="Worker that runs Debezium.")
    gateway: GatewaySettings | None = Field(default=None, description="Spark jobs over HTTP; not started by default.")


class StackSpec(_Part):
    """The services of one test environment."""

    backend: Backend = Field(
        default=Backend.LOCAL,
        description="Where services and Spark jobs run: `local` processes or `docker` containers; "
        "the environment variable TEST_INFRA_BACKEND wins.",
    )
    image: str | None = Field(
        default=None, description="Image of the containers; None: the one that was built from the installed sources."
    )
    services: Services = Services()
