"""External services as settings name them, and what each kind of client is given for them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from test_infra.base.deadline import StillWaiting
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.pipeline.connect_client import ConnectClient
from test_infra.stack import Endpoint
from test_infra.stack.services.connect import ConnectSettings, ExternalConnect, connect, worker_answers
from test_infra.stack.services.connect_address import ConnectAddress
from test_infra.stack.services.kafka import ExternalKafka, KafkaSettings, kafka
from test_infra.stack.services.kafka_clients import Brokers
from test_infra.stack.services.postgres import ExternalPostgres, PostgresSettings, postgres
from test_infra.stack.services.postgres_address import debezium, libpq, password_in
from test_infra_tests.certificates import Authority

WHO = {"host": "db", "port": "5432", "database": "shop", "user": "owner"}
POSTGRES = {"database": "shop", "owner_user": "owner", "capture_user": "capture"}


def endpoint(service: Any, secrets: Path) -> Endpoint:
    found = service.endpoint(secrets)
    assert isinstance(found, Endpoint)
    return found


def passfile(folder: Path, text: str) -> Path:
    path = folder / "pgpass"
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("db:5432:shop:owner:a:b\\:c", "a:b:c"),
        ("*:*:*:*:p", "p"),
        ("#x\nother:5432:shop:owner:no\ndb:*:shop:owner:yes", "yes"),
    ],
)
def test_password_is_the_first_that_matches_in_a_passfile(tmp_path: Path, line: str, password: str) -> None:
    assert password_in(passfile(tmp_path, line), WHO) == password


def test_passfile_without_the_line_or_open_to_others_is_refused(tmp_path: Path) -> None:
    path = passfile(tmp_path, "db:5432:shop:other:p")
    with pytest.raises(UsageError, match="no line for db:5432:shop:owner"):
        password_in(path, WHO)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        password_in(path, WHO)


def test_several_hosts_and_certificates_reach_libpq_and_debezium(tmp_path: Path) -> None:
    file = passfile(tmp_path, "a:5433:shop:*:p")
    given = ExternalPostgres(
        hosts=["a:5433", "b"], sslmode="verify-full", sslrootcert="/ca.pem", passfile=str(file), **POSTGRES
    )
    found = endpoint(postgres(PostgresSettings(external=given)), tmp_path)
    assert libpq(found) == {
        "host": "a,b", "port": "5433,5432", "hostaddr": "", "target_session_attrs": "primary",
        "sslmode": "verify-full", "sslrootcert": "/ca.pem", "sslcert": "", "sslkey": "",
    }  # fmt: skip
    assert debezium(found, ("b", 5432)) == {
        "database.hostname": "b", "database.port": "5432",
        "database.sslmode": "verify-full", "database.sslrootcert": "/ca.pem",
    }  # fmt: skip
    assert found.secret("owner_password") == "p"


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (ExternalPostgres, {**POSTGRES, "passfile": "p"}, "either host or hosts"),
        (ExternalPostgres, {**POSTGRES, "host": "a"}, "or passfile"),
        (ExternalKafka, {}, "either host or brokers"),
        (ExternalKafka, {"host": "a", "sasl_mechanism": "PLAIN"}, "needs username and password_env"),
        (ExternalKafka, {"host": "a", "ca_file": "c"}, "without tls"),
    ],
)
def test_incomplete_settings_are_refused(model: type[Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(**given)


def test_brokers_are_given_to_python_and_java_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", 'p"w\\d')
    external = ExternalKafka(
        brokers=["a:1", "b:2"], tls=True, ca_file="/ca.pem", sasl_mechanism="SCRAM-SHA-512", username="u",
        password_env="BROKER_PASSWORD",
    )  # fmt: skip
    brokers = Brokers.of(endpoint(kafka(KafkaSettings(external=external)), tmp_path))
    assert brokers.python_client() == {
        "bootstrap_servers": ["a:1", "b:2"], "security_protocol": "SASL_SSL", "ssl_cafile": "/ca.pem",
        "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u", "sasl_plain_password": 'p"w\\d',
    }  # fmt: skip
    java = brokers.java_client("kafka.")
    assert java["kafka.security.protocol"] == "SASL_SSL"
    assert java["kafka.ssl.truststore.location"] == "/ca.pem"
    assert java["kafka.sasl.jaas.config"].endswith('required username="u" password="p\\"w\\\\d";')
    assert 'p"w' not in brokers.model_dump_json()


def test_plain_brokers_need_nothing_more() -> None:
    assert Brokers.of("a:1").java_client() == {"bootstrap.servers": "a:1"}


PLUGIN = {"class": "io.debezium.connector.postgresql.PostgresConnector", "version": "3.7"}


class Worker(BaseHTTPRequestHandler):
    """Kafka Connect behind HTTPS and basic authentication, as far as a probe looks."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"rest:secret").decode()
        body = {
            "/": b'{"version": "4.3.1"}',
            "/connectors": b"[]",
            "/connector-plugins": json.dumps([PLUGIN]).encode(),
        }.get(self.path)
        if self.headers.get("Authorization") != wanted:
            self.send_error(401)
        elif body is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), Worker)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, authority.path
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.enable_socket
def test_connect_is_asked_over_https_with_a_name_and_a_password(worker, tmp_path, monkeypatch) -> None:
    port, authority = worker
    monkeypatch.setenv("REST_PASSWORD", "secret")
    given = ExternalConnect(
        host="localhost", port=port, tls=True, ca_file=str(authority), username="rest", password_env="REST_PASSWORD",
        secrets_file="s",
    )  # fmt: skip
    found = endpoint(connect(ConnectSettings(external=given)), tmp_path)
    assert found.url == f"https://localhost:{port}"
    assert worker_answers(found) == "4.3.1, Debezium 3.7"
    assert ConnectClient(ConnectAddress.of(found)).status("none") is None
    with pytest.raises(StillWaiting, match="CERTIFICATE_VERIFY_FAILED"):
        worker_answers(found.model_copy(update={"properties": {"username": "rest"}}))
    found.secret_files["rest_password"].write_text("wrong")
    with pytest.raises(InfrastructureError, match="refuses rest"):
        worker_answers(found)
