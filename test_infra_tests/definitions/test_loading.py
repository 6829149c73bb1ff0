"""Loading all definitions: quick, without a socket, without heavy clients."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import yaml

import test_infra
from test_infra.definitions import defs

PROJECT = Path(test_infra.__file__).parent.parent
HEAVY = (
    "docker",
    "pyspark",
    "kubernetes",
    "pandas",
    "deltalake",
    "pyarrow",
    "duckdb",
    "kafka",
    "psycopg",
    "httpx",
    "azure",
)
LOAD = f"""
import json, socket, sys, time
def blocked(*args, **kwargs): raise AssertionError("a socket while loading definitions")
socket.socket.connect = blocked
socket.create_connection = blocked
import dagster
started = time.process_time()
from test_infra.definitions import defs
keys = [key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()]
took_s = time.process_time() - started
print(json.dumps({{"took_s": took_s, "keys": keys, "heavy": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""
OURS_WITHIN_S = 1.5
"""CPU seconds beyond Dagster's own import, which is most of the 3 s that the house allows (bench: definitions)."""
TRIES = 3


def test_loads_quickly_without_sockets_and_heavy_clients() -> None:
    """The quickest of three: the promise is about the code, not about who else uses the machine."""
    took_s = []
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, "-c", LOAD], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True
        )
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen["heavy"] == []
        assert "shop/stream" in seen["keys"]
        took_s.append(seen["took_s"])
        if took_s[-1] < OURS_WITHIN_S:
            break
    assert min(took_s) < OURS_WITHIN_S, took_s


def test_workspace_and_project_agree_on_the_location() -> None:
    import tomllib

    [entry] = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert entry["python_module"]["location_name"] == project["code_location_name"] == "test_infra"
    assert entry["python_module"]["module_name"] == "test_infra.definitions"


def test_every_asset_says_what_it_is() -> None:
    for spec in defs().resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners == ["team:data-platform"], spec.key
        assert spec.kinds, spec.key
        assert spec.group_name, spec.key


def test_the_graph_reads_from_service_to_table() -> None:
    graph = defs().resolve_asset_graph()

    def parents(*path: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(list(path))).parent_keys}

    assert parents("stack", "connect") >= {"stack/kafka"}
    assert parents("shop", "source", "orders") == {"stack/postgres"}
    assert parents("shop", "connector") >= {"shop/source/orders", "stack/connect", "stack/kafka"}
    assert parents("shop", "topic", "orders") == {"shop/connector"}
    assert parents("shop", "stream") >= {"shop/topic/orders"}
    assert parents("shop", "load") == {"shop/stream"}
    assert parents("shop", "mirror", "orders") == {"shop/stream", "shop/load"}
    assert parents("suites", "cdc_e2e") == {"shop/load"}


def test_every_asset_with_a_gate_is_executable() -> None:
    """A gate on an asset that no step makes would silently never run."""
    graph = defs().resolve_asset_graph()
    assert {key.asset_key for key in graph.asset_check_keys} <= set(graph.materializable_asset_keys)
