"""Leases, keeper, restarts and ends of real stacks. Most take PostgreSQL alone: it is up within a second."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError
from test_infra.runtime import namespace
from test_infra.runtime.process import ProcessSpec, Restart
from test_infra.stack import (
    AttachedLease,
    DetachedLease,
    Stack,
    StackFolders,
    StackNotRunning,
    StackSpec,
    attach,
    down,
    registry,
    up,
)
from test_infra.stack.ports import PortTaken, free_ports
from test_infra.stack.record import read_record, write_record
from test_infra.stack.service import Command, ServiceFailed, ServicePlace, ServiceSpec
from test_infra.stack.services.connect import ConnectSettings, ExternalConnect
from test_infra.stack.services.kafka import ExternalKafka, KafkaSettings
from test_infra.stack.services.postgres import ExternalPostgres, PostgresSettings
from test_infra.stack.spec import Services
from test_infra.stack.sweep import leftovers, stack_tag

POSTGRES_ONLY = StackSpec(services=Services(kafka=None, connect=None))
NO_SERVICES = StackSpec(services=Services(postgres=None, kafka=None, connect=None))
GONE_WITHIN_S = 15.0
HOLDER = """
import sys, time
from test_infra.stack import AttachedLease, StackSpec, up
up(StackSpec.model_validate_json(sys.argv[2]), lease=AttachedLease(), stack_id=sys.argv[1])
print("up", flush=True)
time.sleep(120)
"""


def eventually(observe: Callable[[], None], within_s: float, awaited: str) -> None:
    wait_for(observe, Deadline(within_s), what="the test's wish", awaited=awaited, interval_s=0.1)


def tree_of(stack_id: str) -> list[psutil.Process]:
    """Every process of a running stack; PostgreSQL's children hide their environment, hence descendants."""
    keeper = psutil.Process(attach(stack_id).keeper.pid)
    return [keeper, *keeper.children(recursive=True)]


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing_is_left(stack_id: str, tree: Sequence[psutil.Process] = ()) -> Callable[[], None]:
    def look() -> None:
        left = [*leftovers(stack_tag(stack_id)), *(process for process in tree if runs(process))]
        if left:
            raise StillWaiting(", ".join(map(str, left)))

    return look


@pytest.fixture
def stack_id(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    yield name
    down(name)


@pytest.fixture
def holder(stack_id: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a whole stack with an attached lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, stack_id, StackSpec().model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_holder_leaves_nothing_and_the_next_up_works(holder: subprocess.Popen[str], stack_id: str) -> None:
    tree = tree_of(stack_id)
    assert {service.pid for service in attach(stack_id).status().services} < {process.pid for process in tree}
    holder.kill()
    holder.wait()
    eventually(nothing_is_left(stack_id, tree), GONE_WITHIN_S, "no process of the stack")
    with pytest.raises(StackNotRunning, match="is not running"):
        attach(stack_id)
    lease = AttachedLease()
    assert up(POSTGRES_ONLY, lease=lease, stack_id=stack_id).status().usable
    lease.release()


def test_a_killed_keeper_takes_the_whole_tree_along_and_the_next_up_works(stack_id: str) -> None:
    lease = AttachedLease()
    stack = up(StackSpec(), lease=lease, stack_id=stack_id)
    tree = tree_of(stack_id)
    os.kill(stack.keeper.pid, signal.SIGKILL)
    eventually(nothing_is_left(stack_id, tree), GONE_WITHIN_S, "no process of the stack")
    lease.release()
    again = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    assert again.status().usable


@pytest.mark.parametrize("service", ["postgres", "kafka", "connect"])
def test_a_killed_service_comes_back_and_is_reported(whole_stack: Stack, service: str) -> None:
    before = next(one for one in whole_stack.status().services if one.name == service)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def back() -> None:
        now = next(one for one in whole_stack.status().services if one.name == service)
        if now.state != "usable" or now.pid == before.pid:
            raise StillWaiting(f"{now.state} {now.detail}")

    eventually(back, 40, f"{service} is usable again")
    after = next(one for one in whole_stack.status().services if one.name == service)
    assert after.restarts == before.restarts + 1
    told = [(event["event"], event["detail"]) for event in whole_stack.events() if event["service"] == service]
    assert ("ended", "killed by SIGKILL") in told
    assert any(event == "restarted" for event, _ in told)


@pytest.fixture(scope="module")
def whole_stack(test_home: Path) -> Iterator[Stack]:
    lease = AttachedLease()
    yield up(StackSpec(), lease=lease, stack_id="whole")
    lease.release()
    down("whole")


def test_everything_listens_on_loopback_only(whole_stack: Stack) -> None:
    pids = {process.pid for process in leftovers(stack_tag(whole_stack.id))}
    listening = [c for c in psutil.net_connections(kind="inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.port for connection in listening} > {one.port for one in whole_stack.endpoints.values()}
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in listening} == {"127.0.0.1"}


def test_versions_and_endpoints_are_reported_without_passwords(whole_stack: Stack) -> None:
    endpoints = whole_stack.endpoints
    assert endpoints["postgres"].version.startswith("18")
    assert endpoints["kafka"].version == "4.3.1"
    assert "Debezium 3.7.0.Final" in endpoints["connect"].version
    record = StackFolders(whole_stack.id).record.read_text()
    for name in ("owner_password", "capture_password"):
        secret = endpoints["postgres"].secret(name)
        assert secret not in record
        commands = " ".join(" ".join(process.cmdline()) for process in leftovers(stack_tag(whole_stack.id)))
        assert secret not in commands


def test_no_secret_stands_in_a_log(whole_stack: Stack) -> None:
    secrets = [whole_stack.endpoint("postgres").secret(name) for name in ("owner_password", "capture_password")]
    for log in whole_stack.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log.name


def test_state_is_private(whole_stack: Stack) -> None:
    folders = StackFolders(whole_stack.id)
    for folder in (folders.root, folders.leases, folders.logs, folders.control, folders.secrets):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in (folders.record, folders.events, *folders.secrets.iterdir(), *folders.leases.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_the_capture_role_can_neither_write_nor_create_nor_drop(whole_stack: Stack) -> None:
    import psycopg

    endpoint = whole_stack.endpoint("postgres")
    common = {
        "host": endpoint.host,
        "port": endpoint.port,
        "dbname": endpoint.properties["database"],
        "autocommit": True,
    }
    with psycopg.connect(
        **common, user=endpoint.properties["owner_user"], password=endpoint.secret("owner_password")
    ) as owner:
        owner.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        owner.execute(f"GRANT SELECT ON kept TO {endpoint.properties['capture_user']}")
    with psycopg.connect(
        **common, user=endpoint.properties["capture_user"], password=endpoint.secret("capture_password")
    ) as capture:
        assert capture.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        for statement in (
            "INSERT INTO kept VALUES (1)",
            "DROP TABLE kept",
            "TRUNCATE kept",
            "CREATE TABLE mine (id int)",
            "CREATE PUBLICATION mine FOR ALL TABLES",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "ALTER SYSTEM SET fsync = on",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                capture.execute(statement)


def test_a_detached_stack_ends_by_itself_at_its_expiry(stack_id: str) -> None:
    ttl_s = 6  # the start of PostgreSQL, 1 s on an idle machine, has to fit
    stack = up(POSTGRES_ONLY, lease=DetachedLease(ttl_s=ttl_s), stack_id=stack_id)
    assert stack.status().leases[0].expires_at is not None
    eventually(nothing_is_left(stack_id), ttl_s + GONE_WITHIN_S, "no process of the stack")
    ended = [event["detail"] for event in stack.events() if event["event"] == "ending"]
    assert ended == ["no lease is left"]


def test_a_longer_lease_is_never_shortened(stack_id: str) -> None:
    up(POSTGRES_ONLY, lease=DetachedLease(ttl_s=600), stack_id=stack_id)
    stack = up(POSTGRES_ONLY, lease=DetachedLease(ttl_s=1), stack_id=stack_id)
    (lease,) = stack.status().leases
    assert lease.expires_at is not None
    assert lease.expires_at > time.time() + 500


def test_two_stacks_run_side_by_side(stack_id: str) -> None:
    other = f"{stack_id}-b"
    try:
        one = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
        two = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=other)
        assert one.endpoint("postgres").port != two.endpoint("postgres").port
        down(other)
        assert one.status().usable
        assert not two.status().running
    finally:
        down(other)


def test_of_two_ups_at_once_the_second_attaches(stack_id: str) -> None:
    stacks: list[Stack] = []

    def one_up() -> None:
        stacks.append(up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id))

    threads = [threading.Thread(target=one_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [stack.keeper for stack in stacks] == [stacks[0].keeper] * 2
    assert len([event for event in stacks[0].events() if event["event"] == "started"]) == 1


def test_up_again_changes_nothing_and_down_again_is_no_error(stack_id: str) -> None:
    first = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    second = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    assert first.endpoints == second.endpoints
    assert down(stack_id) is True
    assert down(stack_id) is False


def test_a_fixed_port_that_is_taken_is_named_with_who_has_it(stack_id: str) -> None:
    (port,) = free_ports(1)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        spec = StackSpec(services=Services(postgres=PostgresSettings(port=port), kafka=None, connect=None))
        with pytest.raises(PortTaken, match=f"port {port} for postgres is taken") as refused:
            up(spec, lease=AttachedLease(), stack_id=stack_id)
    assert str(os.getpid()) in str(refused.value)


def test_a_record_of_another_boot_is_not_believed(stack_id: str) -> None:
    up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    down(stack_id)
    folders = StackFolders(stack_id)
    record = read_record(folders)
    assert record is not None
    assert record.keeper is not None
    impostor = record.keeper.model_copy(
        update={"pid": os.getpid(), "started_at": psutil.Process().create_time(), "boot_id": "another"}
    )
    write_record(folders, record.model_copy(update={"keeper": impostor}))
    with pytest.raises(StackNotRunning):
        attach(stack_id)
    assert up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id).status().usable


def test_a_torn_record_does_not_stop_the_next_up(stack_id: str) -> None:
    up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    down(stack_id)
    StackFolders(stack_id).record.write_text('{"schema_version": 1, "id":')
    with pytest.raises(InfrastructureError, match="cannot be read"):
        attach(stack_id)
    assert up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id).status().usable


def test_a_service_that_dies_while_starting_shows_its_last_words(
    stack_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.services_of(POSTGRES_ONLY)["postgres"]
    assert isinstance(real, ServiceSpec)

    def broken(place: ServicePlace) -> Command:
        real_command = real.command(place)
        return Command((*real_command.argv, "-c", "shared_buffers=nonsense"), real_command.env, real_command.user)

    spec = ServiceSpec(
        name="postgres",
        ports=real.ports,
        prepare=real.prepare,
        command=broken,
        endpoint=real.endpoint,
        probe=real.probe,
    )
    monkeypatch.setattr(registry, "services_of", lambda _: {"postgres": spec})
    with pytest.raises(ServiceFailed) as failed:
        up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    assert "postgres died while starting" in str(failed.value)
    assert "exited with 1" in str(failed.value)
    assert 'invalid value for parameter "shared_buffers"' in str(failed.value)
    eventually(nothing_is_left(stack_id), GONE_WITHIN_S, "no process of the failed stack")


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    """For processes of the tests' own; it has no others."""
    yield up(NO_SERVICES, lease=AttachedLease(), stack_id="processes")
    down("processes")


def test_a_process_over_its_memory_limit_is_killed_and_reported(stack: Stack, tmp_path: Path) -> None:
    stack.runtime.start(
        ProcessSpec(
            name="greedy",
            argv=(sys.executable, "-c", "import time; kept = bytearray(200 * 2**20); time.sleep(60)"),
            cwd=tmp_path,
            log_path=tmp_path / "greedy.log",
            memory_limit_mib=100,
        )
    )

    def killed() -> None:
        if stack.runtime.observe("greedy").running:
            raise StillWaiting("it runs")

    eventually(killed, 20, "the end of a process over its limit")
    told = [event["detail"] for event in stack.events() if event["event"] == "over its memory limit"]
    assert told
    assert "100 MiB allowed" in str(told[0])


@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_a_run_to_completion_process_leaves_how_it_ended(
    stack: Stack, tmp_path: Path, code: str, expected: int
) -> None:
    exit_path = tmp_path / "exit.json"
    stack.runtime.start(
        ProcessSpec(
            name=f"ends-with-{expected}",
            argv=(sys.executable, "-c", code),
            cwd=tmp_path,
            log_path=tmp_path / "once.log",
            exit_path=exit_path,
            restart=Restart.NEVER,
        )
    )

    def ended() -> None:
        if not exit_path.exists():
            raise StillWaiting("no exit record")

    eventually(ended, 20, "an exit record")
    assert json.loads(exit_path.read_text())["exit_code"] == expected


def test_a_killed_wrapper_takes_its_command_along(stack: Stack, tmp_path: Path) -> None:
    spec = ProcessSpec(
        name="kept",
        argv=("/bin/sleep", "60"),
        cwd=tmp_path,
        log_path=tmp_path / "kept.log",
        exit_path=tmp_path / "exit.json",
    )
    stack.runtime.start(spec)

    def with_command() -> list[psutil.Process]:
        pid = stack.runtime.observe("kept").pid
        below = psutil.Process(pid).children() if pid is not None else []
        if not below or below[0].name() != "sleep":
            raise StillWaiting("the command does not run yet")
        return [psutil.Process(pid), *below]

    tree = wait_for(with_command, Deadline(20), what="kept", awaited="its command")
    tree[0].kill()

    def ended() -> None:
        if any(runs(process) for process in tree):
            raise StillWaiting("the command outlived its wrapper")
        if not spec.exit_path or not spec.exit_path.exists():
            raise StillWaiting("nobody wrote down how it ended")

    eventually(ended, 10, "the end of both")
    assert json.loads((tmp_path / "exit.json").read_text())["exit_code"] == -signal.SIGKILL


def test_a_process_that_keeps_dying_is_given_up(stack: Stack, tmp_path: Path) -> None:
    stack.runtime.start(
        ProcessSpec(
            name="flapping",
            argv=(sys.executable, "-I", "-S", "-c", "raise SystemExit(1)"),
            cwd=tmp_path,
            log_path=tmp_path / "flapping.log",
            restart=Restart.ALWAYS,
        )
    )

    def given_up() -> None:
        state = stack.runtime.observe("flapping")
        if not state.given_up:
            raise StillWaiting(f"{state.restarts} restarts")

    eventually(given_up, 60, "the keeper gives it up")
    assert stack.runtime.observe("flapping").restarts == 5


def test_of_many_kills_at_once_each_is_seen(stack: Stack, tmp_path: Path) -> None:
    names = [f"sleeper-{number}" for number in range(20)]
    for name in names:
        stack.runtime.start(
            ProcessSpec(name=name, argv=("/bin/sleep", "60"), cwd=tmp_path, log_path=tmp_path / f"{name}.log")
        )

    def started() -> None:
        if any(stack.runtime.observe(name).pid is None for name in names):
            raise StillWaiting("some have no process yet")

    eventually(started, 20, "every sleeper sleeps")
    for name in names:
        pid = stack.runtime.observe(name).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def all_seen() -> None:
        unseen = [name for name in names if stack.runtime.observe(name).exit_code != -signal.SIGKILL]
        if unseen:
            raise StillWaiting(", ".join(unseen))

    eventually(all_seen, 10, "every kill is seen")


SAYS_ITS_SIGNAL = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, asked := {signal.SIGTERM, signal.SIGUSR1})
print("ready", flush=True)
print(signal.sigwait(asked).name, flush=True)
"""


@pytest.mark.parametrize(("end_signal", "told"), [(None, "SIGTERM"), (signal.SIGUSR1, "SIGUSR1")])
def test_the_end_of_the_stack_has_a_signal_of_its_own(
    stack_id: str, tmp_path: Path, end_signal: int | None, told: str
) -> None:
    stack = up(NO_SERVICES, lease=AttachedLease(), stack_id=stack_id)
    log = tmp_path / "says.log"
    argv = (sys.executable, "-I", "-S", "-c", SAYS_ITS_SIGNAL)
    stack.runtime.start(ProcessSpec(name="says", argv=argv, cwd=tmp_path, log_path=log, end_signal=end_signal))

    def ready() -> None:
        if "ready" not in (log.read_text() if log.exists() else ""):
            raise StillWaiting("it does not wait for signals yet")

    eventually(ready, 20, "it waits for signals")
    down(stack_id)
    assert log.read_text().split() == ["ready", told]


def borrowing(stack: Stack) -> StackSpec:
    """A stack whose services are all those of another one; passwords come from the environment."""
    postgres, kafka, connect = (stack.endpoint(name) for name in ("postgres", "kafka", "connect"))
    return StackSpec(
        services=Services(
            postgres=PostgresSettings(
                external=ExternalPostgres(
                    host=postgres.host,
                    port=postgres.port,
                    database=postgres.properties["database"],
                    owner_user=postgres.properties["owner_user"],
                    owner_password_env="BORROWED_OWNER",
                    capture_user=postgres.properties["capture_user"],
                    capture_password_env="BORROWED_CAPTURE",
                )
            ),
            kafka=KafkaSettings(external=ExternalKafka(host=kafka.host, port=kafka.port)),
            connect=ConnectSettings(
                external=ExternalConnect(
                    host=connect.host, port=connect.port, secrets_file=connect.properties["secrets_file"]
                )
            ),
        )
    )


def test_external_services_are_attached_to_and_never_ended(
    whole_stack: Stack, stack_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = whole_stack.endpoint("postgres")
    monkeypatch.setenv("BORROWED_OWNER", postgres.secret("owner_password"))
    monkeypatch.setenv("BORROWED_CAPTURE", postgres.secret("capture_password"))
    borrowed = up(borrowing(whole_stack), lease=AttachedLease(), stack_id=stack_id)
    assert [service.state for service in borrowed.status().services] == ["external"] * 3
    assert borrowed.endpoint("connect").version == whole_stack.endpoint("connect").version
    down(stack_id)
    assert whole_stack.status().usable


def test_a_wrong_password_is_told_and_never_printed(
    whole_stack: Stack, stack_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORROWED_OWNER", "wrong-canary-owner")
    monkeypatch.setenv("BORROWED_CAPTURE", "wrong-canary-capture")
    with pytest.raises(InfrastructureError, match="refuses role") as refused:
        up(borrowing(whole_stack), lease=AttachedLease(), stack_id=stack_id)
    assert "canary" not in str(refused.value)


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that refuses PID namespaces, such as macOS or a hardened kernel."""
    monkeypatch.setattr(namespace, "entering", tuple)


@pytest.mark.usefixtures("without_namespaces")
def test_a_killed_keeper_leaves_nothing_without_namespaces_too(stack_id: str) -> None:
    stack = up(POSTGRES_ONLY, lease=AttachedLease(), stack_id=stack_id)
    tree = tree_of(stack_id)
    os.kill(stack.keeper.pid, signal.SIGKILL)
    eventually(nothing_is_left(stack_id, tree), GONE_WITHIN_S, "no process of the stack")


@pytest.mark.usefixtures("without_namespaces")
def test_a_released_lease_ends_the_stack_without_namespaces_too(stack_id: str) -> None:
    lease = AttachedLease()
    up(POSTGRES_ONLY, lease=lease, stack_id=stack_id)
    tree = tree_of(stack_id)
    lease.release()
    eventually(nothing_is_left(stack_id, tree), GONE_WITHIN_S, "no process of the stack")
