"""The option that says where a stack runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from test_infra.base.backend import BACKEND_VARIABLE
from test_infra.runtime.factory import backend_names


def _choose(_context: click.Context, _parameter: click.Parameter, backend: str | None) -> None:
    if backend is not None:
        os.environ[BACKEND_VARIABLE] = backend  # Dagster's steps read it, in this process or another one


def backend_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--backend local|docker``; without it the YAML, or the environment, decides."""
    return click.option(
        "--backend",
        type=click.Choice(backend_names()),
        default=None,
        expose_value=False,
        callback=_choose,
        help=f"Run services and Spark jobs as local processes or in containers; as {BACKEND_VARIABLE} does.",
    )(command)
