"""A package of a user's that adds a service to stacks: a web server that answers with a greeting."""

from __future__ import annotations

import sys

from pydantic import Field

from test_infra.base.deadline import StillWaiting
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.service import Command, ServiceDefinition, ServicePlace, ServiceSettings, ServiceSpec


class HelloSettings(ServiceSettings):
    """A web server of Python's own."""

    port: int | None = Field(default=None, ge=1, le=65535, description="Fixed port; None takes a free one.")
    greeting: str = Field(default="hello", description="What it answers.")


def hello(settings: HelloSettings) -> ServiceSpec:
    """One web server, on this machine whatever the backend is: the image does not have this package."""
    return ServiceSpec(
        name="hello",
        ports=("http",),
        fixed_port=settings.port,
        prepare=lambda place: (place.data / "index.html").write_text(settings.greeting) and None,
        command=_command,
        endpoint=_endpoint,
        probe=page_answers,
        on_host=True,
    )


def _command(place: ServicePlace) -> Command:
    serve = ("http.server", str(place.ports["http"]), "--bind", place.listen, "--directory", str(place.data))
    return Command(argv=(sys.executable, "-m", *serve), env={"PATH": "/usr/bin:/bin"})


def _endpoint(place: ServicePlace) -> Endpoint:
    port = place.ports["http"]
    return Endpoint(service="hello", host=LOOPBACK, port=port, url=f"http://{LOOPBACK}:{port}")


def page_answers(endpoint: Endpoint) -> str:
    """The server's version, asked for its page."""
    import httpx

    try:
        return httpx.get(endpoint.url, timeout=2.0).raise_for_status().headers["Server"]
    except httpx.HTTPError as error:
        raise StillWaiting(str(error)) from error


SERVICE = ServiceDefinition(
    name="hello",
    description="A greeting over HTTP.",
    settings=HelloSettings,
    build=hello,
    asset_kinds=frozenset({"http"}),
    exports=lambda endpoint: {"HELLO_URL": endpoint.url},
)
