"""Kafka: one node that is broker and controller."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from test_infra.base.deadline import StillWaiting
from test_infra.base.paths import cache, move_into_place, private_dir, write_private
from test_infra.jvm import jars
from test_infra.jvm.properties import properties_text
from test_infra.stack.endpoint import Address, Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.service import (
    Command,
    ExternalService,
    ServiceDefinition,
    ServiceFailed,
    ServicePlace,
    ServiceSettings,
    ServiceSpec,
)
from test_infra.stack.services import secret_files
from test_infra.stack.services.jvm_service import LOG_CONFIG, java_command
from test_infra.stack.services.kafka_clients import PASSWORD, Brokers

LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
NAME = "kafka"
INSIDE_PORT = 29092
"""Port of the broker's container for the other containers of its stack."""


class ExternalKafka(ServiceSettings):
    """A Kafka cluster that is already there."""

    host: str = Field(default="", description="Host name or address of one broker.")
    port: int = Field(default=9092, ge=1, le=65535, description="Port of its client listener.")
    brokers: list[str] = Field(default_factory=list, description="Instead of host and port: several, each host:port.")
    tls: bool = Field(default=False, description="The listener is encrypted.")
    ca_file: str = Field(default="", description="Authority of the brokers' certificates, PEM; none: the system's.")
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="", description="How clients say who they are; none: they do not."
    )
    username: str = Field(default="", description="Who they are.")
    password_env: str = Field(default="", description="Environment variable that holds the password.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.host) == bool(self.brokers):
            raise ValueError("needs either host or brokers")
        if self.sasl_mechanism and not (self.username and self.password_env):
            raise ValueError("sasl_mechanism needs username and password_env")
        if self.ca_file and not self.tls:
            raise ValueError("ca_file is of no use without tls: true")
        return self


class KafkaSettings(ServiceSettings):
    """Kafka 4.3, one node that is broker and controller (KRaft)."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed client port; None takes a free one.")
    heap_mib: int = Field(default=384, ge=128, description="Java heap, MiB.")
    memory_limit_mib: int = Field(default=1_024, ge=256, description="Resident memory beyond which it is killed, MiB.")
    external: ExternalKafka | None = Field(default=None, description="Attach to this one instead of starting one.")


def kafka(settings: KafkaSettings) -> ServiceSpec | ExternalService:
    """Single-node Kafka in KRaft mode.

    Args:
        settings: heap and limit in MiB, or where an external one is.

    Returns:
        A spec whose probe is a metadata request answered by the broker, not an open port.
    """
    if settings.external is not None:
        return _external(settings.external)
    return ServiceSpec(
        name=NAME,
        ports=("client", "controller"),
        fixed_port=settings.port,
        prepare=_prepare,
        command=lambda place: java_command(
            "kafka.Kafka",
            heap_mib=settings.heap_mib,
            config=place.config,
            system={},
            arguments=(str(place.config / "server.properties"),),
        ),
        endpoint=_local_endpoint,
        probe=broker_answers,
        memory_limit_mib=settings.memory_limit_mib,
        stop_timeout_s=4.0,
    )


def _external(external: ExternalKafka) -> ExternalService:
    servers = external.brokers or [f"{external.host}:{external.port}"]
    host, _, port = servers[0].rpartition(":")
    security = {
        "tls": "true" if external.tls else "",
        "ca_file": external.ca_file,
        "sasl_mechanism": external.sasl_mechanism,
        "username": external.username,
    }

    def endpoint(secrets: Path) -> Endpoint:
        password = external.password_env
        return Endpoint(
            service=NAME,
            host=host,
            port=int(port),
            url=",".join(servers),
            properties={name: value for name, value in security.items() if value},
            secret_files={PASSWORD: secret_files.given(secrets, "kafka_password", password)} if password else {},
        )

    return ExternalService(NAME, endpoint, broker_answers)


def _local_endpoint(place: ServicePlace) -> Endpoint:
    endpoint = _endpoint(LOOPBACK, place.ports["client"])
    if place.network_name is None:
        return endpoint
    inside = Address(host=place.network_name, port=INSIDE_PORT, url=f"{place.network_name}:{INSIDE_PORT}")
    return endpoint.model_copy(update={"container": inside})


def _endpoint(host: str, port: int) -> Endpoint:
    return Endpoint(service=NAME, host=host, port=port, url=f"{host}:{port}")


def broker_answers(endpoint: Endpoint) -> str:
    """A metadata answer from the broker.

    Returns:
        The version of the locked jars for a local one; how many brokers there are for an external one.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    # kafka-python leaves a socket open for every refused connection, so it is asked only once somebody listens.
    _somebody_listens(endpoint.url.split(","))
    try:
        admin = KafkaAdminClient(
            **Brokers.of(endpoint).python_client(),
            request_timeout_ms=2_000,
            bootstrap_timeout_ms=2_000,
            client_id="test-infra-probe",
        )
        try:
            brokers = admin.describe_cluster()["brokers"]
        finally:
            admin.close()
    except (KafkaError, OSError, ValueError) as error:
        # A broker that refuses a certificate or a password hangs up without a word.
        clear = Brokers.of(endpoint).security_protocol == "PLAINTEXT"
        doubtful = "" if clear else "; somebody listens: are tls, ca_file, sasl_mechanism, username and password right?"
        raise StillWaiting(f"{type(error).__name__}: {error}{doubtful}") from error
    if not brokers:
        raise StillWaiting("the cluster has no broker yet")
    return _locked_version() if endpoint.log_path is not None else f"{len(brokers)} broker(s)"


def _somebody_listens(servers: Iterable[str]) -> None:
    seen = ""
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError as error:
            seen = f"{type(error).__name__}: {error}"
        else:
            return
    raise StillWaiting(seen)


def server_properties(place: ServicePlace) -> dict[str, object]:
    """The broker's configuration: loopback only, nothing replicated, nothing deleted by age, no accidental topic.

    A client is sent on to the address that the listener advertises, so the containers of a stack, which do not share
    its host's loopback, get a listener of their own.
    """
    client, controller = place.ports["client"], place.ports["controller"]
    listeners = {"PLAINTEXT": f"{place.listen}:{client}", "CONTROLLER": f"{LOOPBACK}:{controller}"}
    advertised = {"PLAINTEXT": f"{LOOPBACK}:{client}"}
    if place.network_name is not None:
        listeners["INSIDE"] = f"{place.listen}:{INSIDE_PORT}"
        advertised["INSIDE"] = f"{place.network_name}:{INSIDE_PORT}"
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
        "advertised.listeners": ",".join(f"{name}://{address}" for name, address in advertised.items()),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "log.dirs": place.data,
        "auto.create.topics.enable": "false",
        "num.partitions": 1,
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # A killed broker comes back under its old registration; by default it would be refused for nine seconds.
        "broker.session.timeout.ms": 4_000,
        "broker.heartbeat.interval.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "log.retention.ms": -1,
        "log.segment.bytes": 256 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
        "controlled.shutdown.enable": "false",
    }


def _prepare(place: ServicePlace) -> None:
    write_private(place.config / "log4j2.properties", LOG_CONFIG)
    write_private(place.config / "server.properties", properties_text(server_properties(place)))
    if (place.data / "meta.properties").exists():
        return
    shutil.copytree(formatted_storage(), place.data, dirs_exist_ok=True)
    cluster_id = base64.urlsafe_b64encode(hashlib.sha256(place.stack_id.encode()).digest()[:16]).decode().rstrip("=")
    meta = place.data / "meta.properties"
    lines = [line for line in meta.read_text().splitlines() if not line.startswith("cluster.id=")]
    write_private(meta, "\n".join([*lines, f"cluster.id={cluster_id}", ""]))


def formatted_storage() -> Path:
    """A formatted, empty log folder, made once per user and broker version (formatting costs a JVM start)."""
    target = cache() / f"kafka-storage-{_locked_version()}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=private_dir(cache())) as work:
        config, logs = Path(work) / "server.properties", Path(work) / "logs"
        place = ServicePlace("format", Path(work), logs, Path(work), {"client": 9092, "controller": 9093})
        config.write_text(properties_text(server_properties(place)))
        (Path(work) / "log4j2.properties").write_text(LOG_CONFIG)
        command: Command = java_command(
            "kafka.tools.StorageTool",
            heap_mib=128,
            config=Path(work),
            system={},
            arguments=("format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(config)),
        )
        done = subprocess.run(
            command.argv, env=dict(command.env), capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise ServiceFailed(
                "Kafka's storage cannot be formatted", details={"seen": (done.stdout + done.stderr)[-500:]}
            )
        move_into_place(logs, target)
    return target


def _locked_version() -> str:
    coordinates = next(jar.coordinates for jar in jars.lock().group("kafka") if ":kafka_2.13:" in jar.coordinates)
    return jars.parts_of(coordinates)[2]


SERVICE = ServiceDefinition(
    name=NAME,
    description="Broker.",
    settings=KafkaSettings,
    build=kafka,
    on_by_default=True,
    asset_kinds=frozenset({"kafka"}),
    exports=lambda endpoint: {"KAFKA_BOOTSTRAP_SERVERS": endpoint.url},
)
