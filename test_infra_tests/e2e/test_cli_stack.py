"""up, status, env, logs, down on the real stack, as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from test_infra_tests.e2e.shell import Shell


@pytest.fixture(scope="module")
def up(shell: Shell) -> Shell:
    started = shell.run("up", "--ttl", "10m")
    assert started.returncode == 0, started.stderr
    assert "postgres: usable at 127.0.0.1:" in started.stderr
    assert started.stdout == ""
    return shell


def environment_of(shell: Shell) -> dict[str, str]:
    """What a shell has after eval "$(test-infra env)"."""
    exports = shell.run("env").stdout
    told = subprocess.run(
        ["bash", "-c", f"{exports}\nenv -0"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=20
    )
    return dict(line.split("=", 1) for line in told.stdout.split("\0") if "=" in line)


def test_status_is_green_and_machines_can_read_it(up: Shell) -> None:
    status = up.run("status", "--json")

    seen = json.loads(status.stdout)
    assert status.returncode == 0
    assert seen["usable"]
    assert {service["name"]: service["state"] for service in seen["services"]} == dict.fromkeys(
        ["postgres", "kafka", "connect"], "usable"
    )


def test_check_looks_at_tables_that_are_not_made_yet(up: Shell) -> None:
    checked = up.run("check", "shop", "--json")

    seen = json.loads(checked.stdout)
    assert checked.returncode == 0
    assert seen["green"]
    assert {finding["severity"] for finding in seen["pipelines"]["shop"]} == {"note"}


@pytest.mark.ci(reason="the other ends of check")
def test_check_tells_a_refused_table_and_a_database_that_is_not_there(up: Shell, tmp_path: Path) -> None:
    project = Shell(up.home, up.stack, cwd=tmp_path / "theirs")
    assert up.run("init", str(project.cwd)).returncode == 0
    defs = project.cwd / "theirs" / "defs"
    (defs / "refused").mkdir()
    (defs / "refused" / "defs.yaml").write_text(
        "type: test_infra.components.CdcPipeline\n\nattributes:\n  name: refused\n  tables: [nowhere]\n  load: null\n"
    )

    checked = project.run("check", "refused")
    assert checked.returncode == 2
    assert "table public.nowhere does not exist" in checked.stdout
    assert "RED  check: 1 errors keep refused from being captured exactly" in checked.stdout

    down = Shell(up.home, "nothing-runs", cwd=project.cwd).run("check", "refused", "--json")
    assert down.returncode == 3
    assert "starts nothing" in json.loads(down.stdout)["not_looked_at"]["refused"]


def test_env_leads_a_program_to_every_service(up: Shell) -> None:
    found = environment_of(up)

    program = (
        "import os, psycopg\n"
        "names = dict(host='HOST', port='PORT', dbname='DB', user='USER', password='PASSWORD')\n"
        "with psycopg.connect(**{k: os.environ['POSTGRES_' + v] for k, v in names.items()}) as connection:\n"
        "    print(connection.execute('SELECT 40 + 2').fetchone()[0])\n"
    )
    connected = subprocess.run([sys.executable, "-c", program], env=found, capture_output=True, text=True, timeout=30)
    assert connected.stdout == "42\n", connected.stderr
    assert found["KAFKA_BOOTSTRAP_SERVERS"].startswith("127.0.0.1:")
    assert found["DEBEZIUM_URL"].startswith("http://127.0.0.1:")
    assert found["KAFKA_TOPIC"].endswith(".public.customers")
    assert found["DELTA_TABLE_PATH"].endswith("mirror/customers")
    assert found["CHECKPOINT_LOCATION"].endswith("checkpoints/shop")


def test_env_refuses_a_table_that_the_pipeline_has_not(up: Shell) -> None:
    refused = up.run("env", "--table", "nothing")

    assert refused.returncode == 2
    assert "known:     customers, orders, order_items" in refused.stderr


@pytest.mark.ci(reason="more commands on a stack")
def test_only_env_shows_the_password(up: Shell) -> None:
    password = environment_of(up)["POSTGRES_PASSWORD"]

    shown = [
        up.run(*words) for words in (["status"], ["status", "--json"], ["doctor"], ["logs", "postgres", "-n", "500"])
    ]

    assert all(password not in output.stdout + output.stderr for output in shown)


def test_a_second_up_attaches(up: Shell) -> None:
    before = json.loads(up.run("status", "--json").stdout)

    again = up.run("up", "--ttl", "10m")

    after = json.loads(up.run("status", "--json").stdout)
    assert again.returncode == 0
    assert [service["pid"] for service in before["services"]] == [service["pid"] for service in after["services"]]


def test_a_verb_on_a_pipeline_that_does_not_run_names_the_next_step(up: Shell) -> None:
    for verb in ("parity", "lag", "load"):
        refused = up.run(verb, "shop")
        assert refused.returncode == 2
        assert "no pipeline 'shop' runs in stack" in refused.stderr
        assert "test-infra run e2e --keep" in refused.stderr


def test_reap_leaves_a_running_stack_alone(up: Shell) -> None:
    assert "running, left alone" in up.run("reap").stderr
    assert up.run("status").returncode == 0


def test_down_ends_it_and_logs_stay(up: Shell) -> None:
    ended = up.run("down")

    assert ended.returncode == 0
    assert up.run("status").returncode == 3
    assert up.run("logs", "kafka", "-n", "1").stdout != ""
