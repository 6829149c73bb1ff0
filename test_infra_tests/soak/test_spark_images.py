"""The images of target `spark` and of other Spark versions: what they say they hold, works in them.

They are gigabytes, so CI builds none of them; where one is not built, its tests are not run, and that is said.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from test_infra.base.backend import Backend
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import TestInfraError
from test_infra.runtime import docker_engine
from test_infra.runtime.image import image_name
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonFile
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PROJECT = Path(__file__).parents[2]
VERSIONS = sorted(path.name for path in (PROJECT / "docker" / "spark").iterdir())
OURS = ".".join(metadata.version("pyspark").split(".")[:2])
OTHERS = [version for version in VERSIONS if version != OURS]
TOKEN = "of-these-tests-only"
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
WRITES_DELTA = """
spark.range(100).selectExpr("id", "id % 7 AS part").write.format("delta").partitionBy("part").save(table)
spark.sql(f"UPDATE delta.`{table}` SET id = id + 1000 WHERE part = 3")
read = spark.read.format("delta").load(table)
answers = {
    "version": spark.version,
    "sum": read.agg({"id": "sum"}).collect()[0][0],
    "query": [tuple(row) for row in spark.sql("SELECT id * 2, upper('a') FROM range(2) ORDER BY id").collect()],
    "history": [row.operation for row in spark.sql(f"DESCRIBE HISTORY delta.`{table}`").collect()][::-1],
}
print(json.dumps(answers))
spark.stop()
"""
BY_CONNECT = f"""
import json, os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote("sc://localhost:15002/;token=" + sys.stdin.read()).getOrCreate()
table = "/tmp/numbers"
{WRITES_DELTA}
"""
BY_ITSELF = f"""
import json, os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
table = os.path.join(os.getcwd(), "numbers")
{WRITES_DELTA}
"""
# File systems are made as a session makes them for a path: by scheme, from their own configuration. They connect later.
CLOUD_CLASSES = """
import json
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("clouds").getOrCreate()
jvm = spark._jvm
conf = spark._jsc.hadoopConfiguration()
for name, value in {
    "fs.s3a.access.key": "nobody", "fs.s3a.secret.key": "nothing", "fs.s3a.endpoint": "http://127.0.0.1:1",
    "fs.s3a.endpoint.region": "eu-central-1", "fs.s3a.attempts.maximum": "1", "fs.s3a.retry.limit": "1",
    "fs.s3a.connection.establish.timeout": "2s",
    "fs.azure.account.key.nobody.dfs.core.windows.net": "bm90aGluZw==", "fs.azure.account.hns.enabled": "true",
}.items():
    conf.set(name, value)
answers = {}
for url in ("s3a://none/", "abfs://none@nobody.dfs.core.windows.net/", "abfss://none@nobody.dfs.core.windows.net/"):
    made = jvm.org.apache.hadoop.fs.FileSystem.newInstance(jvm.java.net.URI(url), conf)
    answers[made.getScheme()] = made.getClass().getName()
    made.close()
s3 = jvm.org.apache.hadoop.fs.FileSystem.newInstance(jvm.java.net.URI("s3a://none/"), conf)
try:
    s3.getFileStatus(jvm.org.apache.hadoop.fs.Path("s3a://none/one"))
except Exception as error:
    answers["asked S3"] = str(error)[:4000]
unity = jvm.io.unitycatalog.client.ApiClient()
unity.setScheme("http"); unity.setHost("127.0.0.1"); unity.setPort(1)
try:
    jvm.io.unitycatalog.client.api.CatalogsApi(unity).listCatalogs(None, None)
except Exception as error:
    answers["asked Unity Catalog"] = str(error)[:4000]
loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
answers["classes"] = [jvm.java.lang.Class.forName(name, True, loader).getName() for name in CLASSES]
print(json.dumps(answers))
"""
CLASSES = (
    "org.apache.hadoop.fs.s3a.S3A",
    "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
    "org.apache.hadoop.fs.azurebfs.Abfs",
    "org.apache.hadoop.fs.azurebfs.Abfss",
    "io.delta.sql.DeltaSparkSessionExtension",
    "io.delta.storage.S3SingleDriverLogStore",
)


ASKS = """
import sys
from pyspark.sql import SparkSession
print(SparkSession.builder.remote(sys.argv[1]).getOrCreate().range(1).collect())
"""


def built(name: str, how: str) -> str:
    try:
        if not docker_engine.has_image(name):
            raise docker_engine.ImageMissing(f"the engine has no image {name}", hint=how)
    except TestInfraError as missing:
        pytest.skip(f"docker: {missing.what} (try: {missing.hint})")
    return name


def run(*arguments: str, told: str = "", timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], input=told, capture_output=True, text=True, timeout=timeout_s)


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def spark_label(image: str) -> str:
    return run("image", "inspect", "--format", '{{index .Config.Labels "test_infra.spark"}}', image).stdout.strip()


def assert_delta_was_written(answers: dict[str, Any], version: str) -> None:
    assert answers["version"] == version
    assert answers["query"] == [[0, "A"], [2, "A"]]
    assert answers["sum"] == sum(range(100)) + 1000 * len(range(3, 100, 7))
    assert answers["history"] == ["WRITE", "UPDATE"]


@pytest.fixture(scope="module", params=VERSIONS)
def connect_image(request: pytest.FixtureRequest) -> str:
    version = "" if request.param == OURS else f"-{request.param}"
    way = "make image TARGET=spark" + ("" if request.param == OURS else f" SPARK={request.param}")
    return built(f"{image_name()}{version}-spark", way)


@pytest.fixture(scope="module")
def server(connect_image: str) -> Iterator[str]:
    """A container of the image with nothing but its token, as a user starts it; its name."""
    name = f"ti-soak-{uuid.uuid4().hex[:8]}"
    started = run(
        "run", "--detach", "--name", name, "--publish", "127.0.0.1::15002", "--memory", "3g", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--env", f"SPARK_CONNECT_AUTHENTICATE_TOKEN={TOKEN}", connect_image,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr

    def listening() -> None:
        logs = run("logs", name)
        if "Spark Connect server started" not in logs.stdout + logs.stderr:
            raise StillWaiting((logs.stdout + logs.stderr)[-300:])

    try:
        wait_for(listening, Deadline(180), what="Spark Connect", awaited="its first words", interval_s=0.5)
        yield name
    finally:
        run("rm", "--force", "--volumes", name)


def test_a_session_over_connect_has_the_images_version_and_writes_delta(connect_image: str, server: str) -> None:
    asked = run("exec", "--interactive", server, "python3", "-c", BY_CONNECT, told=TOKEN)
    assert_delta_was_written(last_line(asked), spark_label(connect_image))


@pytest.mark.parametrize("token", [";token=wrong", ""])
def test_who_has_not_its_token_is_refused(server: str, token: str) -> None:
    (address,) = run("port", server, "15002/tcp").stdout.split()
    url = f"sc://localhost:{address.rpartition(':')[2]}/{token}"
    asked = subprocess.run([sys.executable, "-c", ASKS, url], capture_output=True, text=True, timeout=120)
    assert asked.returncode != 0
    assert re.search(r"(?i)unauthenticated", asked.stderr), asked.stderr[-2000:]


def test_without_a_token_it_does_not_start(connect_image: str) -> None:
    refused = run("run", "--rm", connect_image)
    assert refused.returncode == 2
    assert "no token" in refused.stderr
    assert "SPARK_CONNECT_AUTHENTICATE_TOKEN" in refused.stderr


def test_its_token_may_come_in_a_file(connect_image: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    # With the token in its hands it goes on to Spark's submitter, which is asked for its version only.
    mount = ("--volume", f"{secret}:/run/secrets/connect_token:ro")
    told = run("run", "--rm", *mount, connect_image, "/opt/test_infra/connect-server", "--version")
    assert told.returncode == 0, told.stderr
    assert f"version {spark_label(connect_image)}" in told.stderr


def test_a_session_makes_the_file_systems_of_s3_and_azure_and_a_client_of_unity_catalog(connect_image: str) -> None:
    code = f"CLASSES = {CLASSES!r}\n{CLOUD_CLASSES}"
    answers = last_line(run("run", "--rm", "--memory", "3g", connect_image, "python3", "-c", code))
    assert answers["s3a"] == "org.apache.hadoop.fs.s3a.S3AFileSystem"
    assert answers["abfs"] == "org.apache.hadoop.fs.azurebfs.AzureBlobFileSystem"
    assert answers["abfss"] == "org.apache.hadoop.fs.azurebfs.SecureAzureBlobFileSystem"
    assert answers["classes"] == list(CLASSES)
    for asked in ("asked S3", "asked Unity Catalog"):  # all their classes are there: only nobody listens
        assert re.search(r"(?i)connect", answers[asked]), answers[asked]
        assert not re.search(r"NoClassDefFound|ClassNotFound|NoSuchMethod", answers[asked])


@pytest.fixture(scope="module", params=OTHERS)
def stack_of_another_spark(request: pytest.FixtureRequest, test_home: Path) -> Iterator[tuple[Stack, str]]:
    """A stack of today's image on an engine that has the image of another Spark as well."""
    built(image_name(), "make image")
    built(f"{image_name()}-{request.param}", f"make image SPARK={request.param}")
    spec = StackSpec(backend=Backend.DOCKER, services=Services(postgres=None, kafka=None, connect=None))
    yield up(spec, stack_id="soakspark", lease=AttachedLease()), request.param
    down("soakspark")


@pytest.mark.parametrize("whole", [False, True])
def test_a_job_runs_with_the_spark_that_it_asks_for(
    stack_of_another_spark: tuple[Stack, str], tmp_path: Path, whole: bool
) -> None:
    stack, version = stack_of_another_spark
    in_image = spark_label(f"{image_name()}-{version}")
    assert in_image.startswith(f"{version}.")
    program = tmp_path / "writes.py"
    program.write_text(BY_ITSELF)
    gateway = SparkGateway(stack)
    spec = JobSpec(
        name="other",
        application=PythonFile(python_file=str(program)),
        spark_version=in_image if whole else version,
        conf=DELTA,
        jar_groups=("spark-delta",),
    )
    execution_id = gateway.submit(spec, idempotency_key=uuid.uuid4().hex)

    def ended() -> Execution:
        execution = gateway.check(execution_id)
        if not execution.state.terminal:
            raise StillWaiting(execution.state)
        return execution

    end = wait_for(ended, Deadline(240), what=f"job {execution_id}", awaited="its end")
    text = "".join(piece for piece, _ in gateway.follow(execution_id))
    assert end.state is JobState.SUCCEEDED, text
    assert_delta_was_written(json.loads(next(line for line in text.splitlines() if line.startswith("{"))), in_image)
    states = [event["state"] for event in gateway.describe(execution_id)["history"]]
    assert {"driver_ready", "running"} & set(states), states
