"""The Spark gateway: Spark jobs and Spark Connect servers of this stack over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

import test_infra
from test_infra.base.deadline import StillWaiting
from test_infra.base.environment import inherited
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import HOME_VARIABLE, home
from test_infra.jvm import jars
from test_infra.jvm.java import find_java
from test_infra.runtime.factory import client_variables
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.service import Command, ServiceDefinition, ServicePlace, ServiceSettings, ServiceSpec
from test_infra.stack.services import secret_files

NAME = "gateway"
MODULE = "test_infra.spark.http.server"


class GatewaySettings(ServiceSettings):
    """The Spark gateway: an HTTP API for Spark jobs of this stack, on loopback."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed port; None takes a free one.")
    most_active: int | None = Field(
        default=8, ge=1, description="How many Spark jobs may have a driver at once; more of them are queued."
    )
    allowed_conf: tuple[str, ...] = Field(
        default=(),
        description="Spark properties that jobs may set though they open holes, such as spark.jars.packages.",
    )
    memory_limit_mib: int = Field(default=512, ge=128, description="Resident memory beyond which it is killed, MiB.")


def gateway(settings: GatewaySettings) -> ServiceSpec:
    """The HTTP API on loopback, behind a token of its own.

    Args:
        settings: port, limits in MiB and of jobs at once.

    Returns:
        A spec whose probe is an answer of the gateway that has read its record of jobs.
    """
    return ServiceSpec(
        name=NAME,
        ports=("http",),
        fixed_port=settings.port,
        prepare=_prepare,
        command=_command,
        endpoint=_endpoint,
        probe=gateway_answers,
        memory_limit_mib=settings.memory_limit_mib,
        stop_timeout_s=2.0,
        on_host=True,
    )


def _prepare(place: ServicePlace) -> None:
    # Fetched here, where the user's proxies and certificates are set; the gateway has only the variables below.
    jars.fetch("spark-local-files")
    secret_files.made(place.secrets, "gateway_token")


def _command(place: ServicePlace) -> Command:
    return Command(
        argv=(sys.executable, "-m", MODULE, place.stack_id, str(place.ports["http"]), str(_token_file(place))),
        env={
            **inherited(*client_variables()),
            HOME_VARIABLE: str(home()),
            "JAVA_HOME": str(find_java().home),
            "PYTHONPATH": str(Path(test_infra.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",
        },
    )


def _endpoint(place: ServicePlace) -> Endpoint:
    port = place.ports["http"]
    return Endpoint(
        service=NAME,
        host=LOOPBACK,
        port=port,
        url=f"http://{LOOPBACK}:{port}",
        secret_files={"token": _token_file(place)},
    )


def _token_file(place: ServicePlace) -> Path:
    return place.secrets / "gateway_token"


def gateway_answers(endpoint: Endpoint) -> str:
    """The gateway's version, asked with its token.

    Raises:
        InfrastructureError: it refuses the token; waiting would not help.
    """
    import httpx

    headers = {"Authorization": f"Bearer {endpoint.secret('token')}"}
    try:
        with httpx.Client(base_url=endpoint.url, timeout=2.0, headers=headers) as client:
            version = str(client.get("/healthz").raise_for_status().json()["version"])
            client.get("/api/v1/jobs", params={"limit": 1}).raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.UNAUTHORIZED:
            raise InfrastructureError(f"the gateway at {endpoint.url} refuses the token of this stack") from None
        raise StillWaiting(str(error)) from error
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise StillWaiting(f"{type(error).__name__}: {error}") from error
    return version


SERVICE = ServiceDefinition(
    name=NAME,
    description="Spark jobs over HTTP; not started by default.",
    settings=GatewaySettings,
    build=gateway,
)
