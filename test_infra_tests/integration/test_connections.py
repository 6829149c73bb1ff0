"""A pipeline over services that are there already, behind TLS and a log-in: PostgreSQL and Kafka of another stack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.judge import parity
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.ports import free_ports
from test_infra.stack.record import StackFolders
from test_infra.stack.services.kafka import broker_answers
from test_infra.stack.services.kafka_clients import Brokers
from test_infra_tests.certificates import Authority
from test_infra_tests.running import Running
from test_infra_tests.tls_front import TlsFront

pytestmark = pytest.mark.ci(reason="two stacks; what each client is given is in unit/stack/test_connections.py")

THERE, OURS = "testthere", "testours"
LOGIN = "org.apache.kafka.common.security"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def there(test_home: Path) -> Iterator[Stack]:
    """A stack that another one attaches to."""
    lease = AttachedLease()
    try:
        stack = up(StackSpec.model_validate({"services": {"connect": None}}), stack_id=THERE, lease=lease)
        yield stack
    finally:
        down(THERE)
        lease.release()


@pytest.fixture(scope="module")
def secure_port(there: Stack, authority: Authority) -> int:
    (port,) = free_ports(1)
    plain = there.endpoint("kafka")
    with closing(_admin(plain.url)) as admin:
        from kafka.admin import UserScramCredentialUpsertion

        assert admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion("writer", "SCRAM-SHA-512", 'pa"ss')]
        ) == {"writer": None}
    certificate, key = authority.certificate("kafka")
    both = certificate.with_name("kafka.both.pem")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    file = StackFolders(there.id).services / "kafka" / "server.properties"
    given = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    secure = "listener.name.secure"
    given |= {
        "listeners": f"{given['listeners']},SECURE://127.0.0.1:{port}",
        "advertised.listeners": f"{given['advertised.listeners']},SECURE://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{given['listener.security.protocol.map']},SECURE:SASL_SSL",
        f"{secure}.ssl.keystore.type": "PEM",
        f"{secure}.ssl.keystore.location": str(both),
        f"{secure}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{secure}.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
        f"{secure}.plain.sasl.jaas.config": f'{LOGIN}.plain.PlainLoginModule required user_reader="known";',
    }
    file.write_text("\n".join(f"{name}={value}" for name, value in given.items()))
    there.runtime.signal("kafka", signal.SIGKILL)
    secured = plain.model_copy(update={"port": port, "url": f"127.0.0.1:{port}", "log_path": None, "properties": {}})

    def listens() -> None:
        import socket

        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            raise StillWaiting(str(error)) from error

    wait_for(listens, Deadline(60), what="kafka", awaited=f"a listener at {secured.url}", log=plain.log_path)
    return port


@pytest.fixture(scope="module")
def front(there: Stack, authority: Authority) -> Iterator[TlsFront]:
    with TlsFront(there.endpoint("postgres").port, *authority.certificate("postgres")) as front:
        yield front


@pytest.fixture(scope="module")
def live(there: Stack, front: TlsFront, secure_port: int, authority: Authority, tmp_path_factory) -> Iterator[Running]:
    postgres, folder = there.endpoint("postgres"), tmp_path_factory.mktemp("ours")
    passfile = folder / "pgpass"
    user = {role: postgres.properties[f"{role}_user"] for role in ("owner", "capture")}
    roles = [(name, postgres.secret(f"{role}_password")) for role, name in user.items()]
    passfile.write_text("\n".join(f"localhost:{front.port}:*:{user}:{password}" for user, password in roles))
    passfile.chmod(0o600)
    os.environ["TEST_BROKER_PASSWORD"] = 'pa"ss'
    services = {
        "postgres": {
            "external": {
                # Nobody listens at the second port: the first host that is the primary is used.
                "hosts": [f"localhost:{front.port}", f"localhost:{free_ports(1)[0]}"],
                "sslmode": "verify-full",
                "sslrootcert": str(authority.path),
                "database": postgres.properties["database"],
                "owner_user": roles[0][0],
                "capture_user": roles[1][0],
                "passfile": str(passfile),
            }
        },
        "kafka": {
            "external": {
                "brokers": [f"127.0.0.1:{secure_port}", f"127.0.0.1:{free_ports(1)[0]}"],
                "tls": True,
                "ca_file": str(authority.path),
                "sasl_mechanism": "SCRAM-SHA-512",
                "username": "writer",
                "password_env": "TEST_BROKER_PASSWORD",
            }
        },
    }
    ddl = folder / "tables.sql"
    ddl.write_text("CREATE TABLE things (id integer PRIMARY KEY, v float8); INSERT INTO things VALUES (1, 0.1);")
    spec = PipelineSpec(name="secure", tables=["things"], source=SourceSpec(ddl=ddl), load=None)
    lease = AttachedLease()
    try:
        stack = up(StackSpec.model_validate({"services": services}), stack_id=OURS, lease=lease)
        pipeline = RunningPipeline(stack, spec)
        running = Running(pipeline, prepare(pipeline))
        running.capture()
        yield running
    finally:
        down(OURS)
        lease.release()
        del os.environ["TEST_BROKER_PASSWORD"]


def test_rows_arrive_over_encrypted_connections(live: Running, front: TlsFront) -> None:
    live.sql("INSERT INTO things VALUES (2, 1.0000000000000002)")
    found = parity.check(live.pipeline, timeout_s=120).tables["things"]
    assert found.green, found
    assert found.source_rows == 2
    # The load, parity by ADBC and the connector's sessions; in the clear, nobody would have got through.
    assert front.encrypted > 5


def test_a_wrong_password_is_told_and_plain_is_another_mechanism(live: Running, tmp_path: Path) -> None:
    endpoint = live.stack.endpoint("kafka")
    reader = tmp_path / "reader"
    reader.write_text("known")
    known = endpoint.model_copy(
        update={
            "properties": {**endpoint.properties, "sasl_mechanism": "PLAIN", "username": "reader"},
            "secret_files": {"password": reader},
        }
    )
    assert broker_answers(known) == "1 broker(s)"
    assert Brokers.of(known).security_protocol == "SASL_SSL"
    reader.write_text("wrong")
    with pytest.raises(StillWaiting, match="somebody listens: are tls"):
        broker_answers(known)


def _admin(servers: str):
    from kafka import KafkaAdminClient

    return KafkaAdminClient(bootstrap_servers=servers)
