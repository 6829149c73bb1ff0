"""Kafka Connect: one distributed worker with Debezium for PostgreSQL."""

from __future__ import annotations

import signal
from pathlib import Path

from pydantic import Field

from test_infra.base.deadline import StillWaiting
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import private_dir, write_private
from test_infra.jvm import jars
from test_infra.jvm.properties import properties_text
from test_infra.stack.endpoint import Address, Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.service import (
    ExternalService,
    ServiceDefinition,
    ServicePlace,
    ServiceSettings,
    ServiceSpec,
)
from test_infra.stack.services import secret_files
from test_infra.stack.services.connect_address import REST_PASSWORD, ConnectAddress
from test_infra.stack.services.jvm_service import LOG_CONFIG, java_command
from test_infra.stack.services.kafka import LARGEST_MESSAGE_BYTES
from test_infra.stack.services.kafka_clients import Brokers

NAME = "connect"


class ExternalConnect(ServiceSettings):
    """A Kafka Connect worker, with Debezium installed, that is already there."""

    host: str = Field(description="Host name or address of its REST interface.")
    port: int = Field(default=8083, ge=1, le=65535, description="Port of its REST interface.")
    tls: bool = Field(default=False, description="It is reached over HTTPS.")
    ca_file: str = Field(default="", description="Authority of its certificate, PEM; none: the system's.")
    username: str = Field(default="", description="Of basic authentication; none: there is none.")
    password_env: str = Field(default="", description="Environment variable that holds its password.")
    secrets_file: str = Field(
        description="Properties file, as the worker sees it, that holds the key capture_password."
    )


class ConnectSettings(ServiceSettings):
    """Kafka Connect 4.3, one distributed worker with the Debezium connector for PostgreSQL."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed REST port; None takes a free one.")
    heap_mib: int = Field(default=768, ge=192, description="Java heap, MiB.")
    memory_limit_mib: int = Field(default=1_536, ge=320, description="Resident memory beyond which it is killed, MiB.")
    offset_flush_interval_ms: int = Field(
        default=200, ge=50, description="How often offsets are committed, milliseconds."
    )
    external: ExternalConnect | None = Field(default=None, description="Attach to this one instead of starting one.")


def connect(settings: ConnectSettings) -> ServiceSpec | ExternalService:
    """One Connect worker that can run Debezium's PostgreSQL connector.

    Args:
        settings: heap and limit in MiB, offset flush interval in milliseconds, or where an external one is.

    Returns:
        A spec whose probe asks the worker for its version and for the Debezium plugin.
    """
    if settings.external is not None:
        return _external(settings.external)
    return ServiceSpec(
        name=NAME,
        ports=("rest",),
        fixed_port=settings.port,
        depends_on=("kafka", "postgres"),
        prepare=lambda place: _prepare(place, settings),
        command=lambda place: java_command(
            "org.apache.kafka.connect.cli.ConnectDistributed",
            heap_mib=settings.heap_mib,
            config=place.config,
            # No config provider but ours, whatever a connector's configuration names (CVE-2024-31141).
            system={"org.apache.kafka.automatic.config.providers": "none"},
            arguments=(str(place.config / "worker.properties"),),
        ),
        endpoint=_local_endpoint,
        probe=worker_answers,
        memory_limit_mib=settings.memory_limit_mib,
        stop_timeout_s=5.0,
        # Asked to end together with its broker, it would try to reach the broker for two seconds.
        end_signal=signal.SIGKILL,
        secrets=("capture_password",),
    )


def _external(external: ExternalConnect) -> ExternalService:
    def endpoint(secrets: Path) -> Endpoint:
        found = _endpoint(external.host, external.port, external.secrets_file)
        given = {"ca_file": external.ca_file, "username": external.username}
        password = external.password_env
        return found.model_copy(
            update={
                "url": found.url.replace("http:", "https:", 1) if external.tls else found.url,
                "properties": {**found.properties, **{name: value for name, value in given.items() if value}},
                "secret_files": {REST_PASSWORD: secret_files.given(secrets, REST_PASSWORD, password)}
                if password
                else {},
            }
        )

    return ExternalService(NAME, endpoint, worker_answers)


def _local_endpoint(place: ServicePlace) -> Endpoint:
    port = place.ports["rest"]
    endpoint = _endpoint(LOOPBACK, port, str(_secrets_file(place)))
    if place.network_name is None:
        return endpoint
    inside = Address(host=place.network_name, port=port, url=f"http://{place.network_name}:{port}")
    return endpoint.model_copy(update={"container": inside})


def _endpoint(host: str, port: int, secrets_file: str) -> Endpoint:
    return Endpoint(
        service=NAME,
        host=host,
        port=port,
        url=f"http://{host}:{port}",
        properties={"secrets_file": secrets_file},
    )


def worker_answers(endpoint: Endpoint) -> str:
    """The worker's own version, given that it can load Debezium's PostgreSQL connector."""
    import httpx

    try:
        with ConnectAddress.of(endpoint).client(timeout_s=2.0) as client:
            version = str(client.get("/").raise_for_status().json()["version"])
            # Answered only by a worker that has joined its group and can create connectors.
            client.get("/connectors").raise_for_status()
            plugins = {
                plugin["class"]: plugin["version"]
                for plugin in client.get("/connector-plugins").raise_for_status().json()
            }
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.UNAUTHORIZED:
            who = endpoint.properties.get("username") or "clients without a name"
            raise InfrastructureError(
                f"Kafka Connect at {endpoint.url} refuses {who}",
                details={"seen": "401 Unauthorized"},
                hint="check username and the variable of password_env",
            ) from None
        raise StillWaiting(f"{type(error).__name__}: {error}") from error
    except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
        raise StillWaiting(f"{type(error).__name__}: {error}") from error
    debezium = plugins.get("io.debezium.connector.postgresql.PostgresConnector")
    if debezium is None:
        raise StillWaiting("the worker knows no Debezium connector for PostgreSQL")
    return f"{version}, Debezium {debezium}"


def worker_properties(place: ServicePlace, settings: ConnectSettings) -> dict[str, object]:
    """The worker's configuration: REST on loopback, secrets only from files below one folder, no client overrides."""
    topics = f"ti-{place.stack_id}-connect"
    internal = {
        f"{kind}.storage.{key}": value
        for kind in ("offset", "config", "status")
        for key, value in (("topic", f"{topics}-{kind}"), ("replication.factor", 1))
    }
    brokers = Brokers.of(place.endpoints["kafka"])
    clients = [brokers.java_client(prefix) for prefix in ("", "producer.", "consumer.", "admin.")]
    return {
        **{name: value for client in clients for name, value in client.items()},
        "group.id": topics,
        "listeners": f"http://{place.listen}:{place.ports['rest']}",
        "rest.advertised.host.name": place.network_name or LOOPBACK,
        "plugin.path": jars.unpacked_group("debezium-postgres"),
        "plugin.discovery": "service_load",
        "connector.client.config.override.policy": "None",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": _secrets_file(place).parent,
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "key.converter.replace.null.with.default": "false",
        "value.converter.replace.null.with.default": "false",
        "offset.storage.partitions": 1,
        "status.storage.partitions": 1,
        **internal,
        "offset.flush.interval.ms": settings.offset_flush_interval_ms,
        "offset.flush.timeout.ms": 5_000,
        "scheduled.rebalance.max.delay.ms": 500,
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 500,
        "task.shutdown.graceful.timeout.ms": 2_000,
        "producer.linger.ms": 0,
        "producer.batch.size": 256 * 1024,
        "producer.max.request.size": LARGEST_MESSAGE_BYTES,
        "producer.buffer.memory": 4 * LARGEST_MESSAGE_BYTES,
    }


def _secrets_file(place: ServicePlace) -> Path:
    return place.config / "secrets" / "connect.properties"


def _prepare(place: ServicePlace, settings: ConnectSettings) -> None:
    write_private(place.config / "log4j2.properties", LOG_CONFIG)
    write_private(place.config / "worker.properties", properties_text(worker_properties(place, settings)))
    private_dir(_secrets_file(place).parent)
    password = place.endpoints["postgres"].secret("capture_password")
    write_private(_secrets_file(place), properties_text({"capture_password": password}))


SERVICE = ServiceDefinition(
    name=NAME,
    description="Worker that runs Debezium.",
    settings=ConnectSettings,
    build=connect,
    on_by_default=True,
    asset_kinds=frozenset({"debezium", "kafka"}),
    exports=lambda endpoint: {"DEBEZIUM_URL": endpoint.url},
)
