"""A user's own program as the traffic: it gets the connection, its end is told, and nothing of it stays."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.judge import findings
from test_infra.cdc.load import history
from test_infra.cdc.load.history import BadHistory, Kind, OperationOutcome, Phase
from test_infra.cdc.load.run import LoadStatus
from test_infra.cdc.load.traffic import TrafficConfig, environment, run
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec
from test_infra.gates.pipeline import pipeline_gates
from test_infra.stack import Endpoint
from test_infra.verdict.evidence import Outcome

SECRET = "a:b\\c-secret"


def config(tmp_path: Path, program: str, **changes: object) -> TrafficConfig:
    (tmp_path / "password").write_text(SECRET)
    endpoint = Endpoint(
        service="postgres",
        host="db.example",
        port=5433,
        url="postgresql://db.example:5433",
        properties={"database": "shop", "owner_user": "owner"},
        secret_files={"owner_password": tmp_path / "password"},
    )
    given = {
        "endpoint": endpoint, "command": [sys.executable, "-c", program], "folder": tmp_path,
        "env": {"PATH": os.environ["PATH"], "TEST_INFRA_HISTORY": str(tmp_path / "h.jsonl")}, "repeat": 1,
        "background": False, "timeout_s": 30.0, "limit_s": 30.0, "pass_file": tmp_path / "pgpass",
        "status": tmp_path / "status.json",
    }  # fmt: skip
    return TrafficConfig.model_validate({**given, **changes})


def test_program_finds_the_database_in_its_environment(tmp_path: Path) -> None:
    found = environment(config(tmp_path, ""))
    assert [found[name] for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")] == [
        "db.example",
        "5433",
        "shop",
        "owner",
    ]
    assert found["PGPASSWORD"] == SECRET
    assert Path(found["PGPASSFILE"]).read_text() == "db.example:5433:shop:owner:a\\:b\\\\c-secret\n"
    assert stat.S_IMODE(Path(found["PGPASSFILE"]).stat().st_mode) == 0o600


def test_program_runs_as_often_as_asked_for(tmp_path: Path) -> None:
    done = run(config(tmp_path, "open('ran', 'a').write('x')", repeat=3), threading.Event())
    assert (done.runs, done.error, (tmp_path / "ran").read_text()) == (3, "", "xxx")
    assert done.bulk_done_at is not None
    assert LoadStatus.model_validate_json((tmp_path / "status.json").read_bytes()) == done


def test_program_that_fails_is_told_with_its_last_lines_and_without_secrets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import os, sys; print('first'); print('it is', os.environ['PGPASSWORD']); sys.exit(3)"
    done = run(config(tmp_path, program, repeat=5), threading.Event())
    assert done.runs == 0
    assert done.bulk_done_at is None
    assert "exited with 3; its last lines:\nfirst\nit is ********" in done.error
    assert SECRET not in capfd.readouterr().err
    assert findings.load(done, 5, tmp_path).outcome is Outcome.FAILED


def test_program_that_does_not_exist_or_does_not_end_is_told(tmp_path: Path) -> None:
    missing = run(config(tmp_path, "", command=["/nowhere/at-all"]), threading.Event())
    assert "/nowhere/at-all could not be started" in missing.error
    late = run(config(tmp_path, "import time; time.sleep(60)", timeout_s=0.3), threading.Event())
    assert "was ended after 0.3 s" in late.error


def test_background_goes_on_until_it_is_stopped_and_then_nothing_of_it_is_left(tmp_path: Path) -> None:
    program = (
        "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(0 if not os.path.exists('on') else 60)"
    )
    stop, ended = threading.Event(), []
    thread = threading.Thread(
        target=lambda: ended.append(run(config(tmp_path, program, background=True), stop)), daemon=True
    )
    thread.start()

    def bulk_done() -> None:
        try:
            if LoadStatus.model_validate_json((tmp_path / "status.json").read_bytes()).bulk_done_at is not None:
                return
        except (FileNotFoundError, ValidationError):
            pass
        raise StillWaiting("not yet")

    wait_for(bulk_done, Deadline(30), what="traffic", awaited="its bulk")
    (tmp_path / "on").touch()
    stop.set()
    thread.join(30)
    assert ended[0].error == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_traffic_of_which_nothing_came_proves_nothing(tmp_path: Path) -> None:
    ran = LoadStatus(runs=1, started_at=1.0)
    assert findings.load(ran, 0, tmp_path).outcome is Outcome.UNKNOWN
    assert findings.load(ran, 7, tmp_path).passed
    assert findings.load(LoadStatus(), None, tmp_path).outcome is Outcome.UNKNOWN
    assert findings.load(LoadStatus(operations_done=5, started_at=1.0), None, tmp_path).passed


LINE = {
    "table": "orders",
    "key": {"line": 2, "id": 7},
    "kind": "insert",
    "outcome": "ok",
    "tx_id": 5,
    "started": 1,
    "done": 2,
}


def test_history_of_a_program_is_read_whatever_the_order_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    (one,) = history.read(path, {"orders": ["id", "line"]})
    assert (one.key, one.kind, one.outcome, one.tx_id, one.number) == ((7, 2), Kind.INSERT, OperationOutcome.OK, 5, 0)
    assert one.phase is Phase.LOAD


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"table": "others"}, "table others is none of orders"),
        ({"key": {"id": 7}}, "the key of orders is id, line"),
        ({"kind": "upsert"}, "'upsert' is not a valid Kind"),
        ({"tx_id": "x"}, "invalid literal"),
        ({"done": None}, "TypeError"),
    ],
)
def test_line_that_is_no_operation_is_refused_with_its_number(
    tmp_path: Path, change: dict[str, object], seen: str
) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{json.dumps({**LINE, **change})}\n")
    with pytest.raises(BadHistory, match=r"line 2 of the load's history is no operation") as refused:
        list(history.read(path, {"orders": ["id", "line"]}))
    assert seen in refused.value.details["seen"]


@pytest.mark.parametrize(
    ("load", "gates"),
    [
        (LoadSpec(), {"load", "witness"}),
        (LoadSpec(command=["x"]), {"load"}),
        (LoadSpec(command=["x"], history=True), {"load", "witness"}),
        (LoadSpec(sql=[Path("x.sql")]), {"load"}),
        (None, set()),
    ],
)
def test_gates_follow_the_traffic(load: LoadSpec | None, gates: set[str]) -> None:
    found = {gate.name for gate in pipeline_gates(PipelineSpec(name="p", tables=["t"], load=load))}
    assert found & {"load", "witness"} == gates


def test_two_kinds_of_traffic_are_refused() -> None:
    with pytest.raises(ValidationError, match="give sql or command, not both"):
        LoadSpec(sql=[Path("x.sql")], command=["x"])
    with pytest.raises(ValidationError, match="history: true is for a command"):
        LoadSpec(history=True)
