"""Our image under the testcontainers library: seed 000's cases against a Spark Connect server in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.ci(reason="Compose and testcontainers bring our image up")

TOKEN = "of-this-test-only"
PORT, UI_PORT = 15002, 4040
SERVER = (
    "/opt/test_infra/packages/pyspark/bin/spark-submit", "--master", "local[2]", "--driver-memory", "512m",
    "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
    "--conf", f"spark.connect.grpc.binding.port={PORT}", "--conf", f"spark.ui.port={UI_PORT}",
    "--conf", "spark.sql.shuffle.partitions=1", "spark-internal",
)  # fmt: skip
CASES = """
import json, sys
from pyspark.sql import SparkSession, Window, functions as F
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
answers = {"version": spark.version}
answers["simple"] = spark.range(10).filter("id % 2 = 0").count()
orders = spark.createDataFrame(
    [("north", "a", 10.0), ("north", "b", 30.0), ("south", "c", 5.0), ("south", "d", None)],
    "region string, customer string, amount double",
)
totals = orders.groupBy("region").agg(F.sum("amount").alias("sum"), F.count("*").alias("n")).orderBy("region")
answers["aggregation"] = [tuple(row) for row in totals.collect()]
best = Window.partitionBy("region").orderBy(F.col("amount").desc_nulls_last())
ranked = (
    orders.withColumn("rank", F.row_number().over(best))
    .join(totals, "region")
    .withColumn("share", F.round(F.col("amount") / F.col("sum"), 2))
    .where("rank = 1").orderBy("region")
)
answers["transformation"] = [(row.region, row.customer, row.share) for row in ranked.collect()]
print(json.dumps(answers))
spark.stop()
"""


@pytest.fixture(scope="module")
def server(docker_image: str) -> Iterator[Any]:
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # it would want the engine's socket in a container
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = (
        DockerContainer(docker_image)
        .with_command(list(SERVER))
        .with_env("SPARK_CONNECT_AUTHENTICATE_TOKEN", TOKEN)
        .with_kwargs(mem_limit="2g", cap_drop=["ALL"], security_opt=["no-new-privileges"])
        .waiting_for(LogMessageWaitStrategy("Spark Connect server started").with_startup_timeout(120))
    )
    for port in (PORT, UI_PORT):  # with_exposed_ports would publish on every interface
        container.ports[f"{port}/tcp"] = ("127.0.0.1", None)
    with container:
        yield container


@pytest.fixture(scope="module")
def answers(server: Any) -> dict[str, Any]:
    """What a client in a process of its own got: a Connect session must not meet the classic ones of other tests."""
    # By this very name the client sends a token without TLS; by an address it would insist on TLS.
    url = f"sc://localhost:{server.get_exposed_port(PORT)}/;token={TOKEN}"
    asked = subprocess.run([sys.executable, "-c", CASES, url], capture_output=True, text=True, timeout=120)
    assert asked.returncode == 0, asked.stderr[-2000:]
    told: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    return told


def test_the_sessions_version_is_the_images(server: Any, answers: dict[str, Any]) -> None:
    labels = server.get_wrapped_container().image.labels
    assert answers["version"] == labels["test_infra.spark"] == metadata.version("pyspark")


def test_simple_query(answers: dict[str, Any]) -> None:
    assert answers["simple"] == 5


def test_aggregation(answers: dict[str, Any]) -> None:
    assert answers["aggregation"] == [["north", 40.0, 2], ["south", 5.0, 2]]


def test_complex_transformation(answers: dict[str, Any]) -> None:
    assert answers["transformation"] == [["north", "b", 0.75], ["south", "c", 1.0]]


def test_the_ui_answers_at_its_mapped_port(server: Any) -> None:
    url = f"http://127.0.0.1:{server.get_exposed_port(UI_PORT)}"
    told = httpx.get(f"{url}/api/v1/applications", timeout=20).json()
    assert [application["name"] for application in told] == [SERVER[SERVER.index("--class") + 1]]
    assert not url.endswith(f":{UI_PORT}")
