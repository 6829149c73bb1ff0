"""The project of the working folder, or else the built-in one: its definitions, its stack, its pipelines."""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from test_infra.base.errors import BadDocument, FieldProblem, TestInfraError, UsageError
from test_infra.base.project import BUILT_IN, Project, find_project, project_root
from test_infra.base.redaction import redact

if TYPE_CHECKING:
    import dagster as dg

    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.stack import Stack, StackSpec

T = TypeVar("T", bound="dg.Component")

_PLACE = re.compile(r"`?(?:attributes\.)?(?P<field>.+) at (?P<file>.+):(?P<line>\d+)`?")
"""The form in which Dagster puts field, file and line into an error."""


def definitions() -> dg.Definitions:
    """The project's definitions, loaded.

    Raises:
        UsageError: they do not load; carries Dagster's message, with file and line where it has them.
    """
    import dagster as dg
    from dagster.components.definitions import LazyDefinitions

    # Dagster's warnings about beta features are for who writes definitions, not for who runs them.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    try:
        module = importlib.import_module(definitions_module())
    except Exception as error:
        raise _refused(error) from error
    for value in vars(module).values():
        if isinstance(value, dg.Definitions):
            return value
        if isinstance(value, LazyDefinitions):
            try:
                loaded: dg.Definitions = value()
            except Exception as error:
                raise _refused(error) from error
            return loaded
    raise UsageError(f"module {module.__name__} has no Dagster definitions")


def definitions_module() -> str:
    """The module that holds the definitions of the project around the working folder; our own where there is none.

    Raises:
        UsageError: the project's configuration is refused.
    """
    project = _importable_project()
    return project.definitions_module if project else BUILT_IN


def stack_spec() -> StackSpec:
    """The stack that the project's YAML describes; the default one where it describes none.

    Raises:
        UsageError: the YAML is refused, or describes more than one stack.
    """
    from test_infra.components import ServiceStack
    from test_infra.stack import StackSpec

    found = _components(ServiceStack)
    if len(found) > 1:
        raise UsageError(f"this project describes {len(found)} stacks; it may describe one")
    return found[0].spec if found else StackSpec()


def pipeline_specs() -> dict[str, PipelineSpec]:
    """The pipelines that the project's YAML describes, by name.

    Raises:
        UsageError: the YAML is refused.
    """
    from test_infra.components import CdcPipeline

    specs = [component.spec for component in _components(CdcPipeline)]
    return {spec.name: spec for spec in specs}


def choose_pipeline(stack: Stack, name: str | None) -> RunningPipeline:
    """A pipeline of the project, as it runs in the stack when it does; None chooses the only or first one.

    Raises:
        UsageError: there is none of that name.
    """
    from test_infra.cdc.pipeline.running import RunningPipeline

    running = pipelines_of(stack)
    if name in running or (name is None and running):
        known = running
    else:
        known = {of_project: RunningPipeline(stack, spec) for of_project, spec in pipeline_specs().items()}
    if name is None and known:
        return next(iter(known.values()))
    if name is None or name not in known:
        raise UsageError(
            f"there is no pipeline {name!r} here", details={"known": ", ".join(sorted({*known, *running})) or "none"}
        )
    return known[name]


def running_pipeline(stack: Stack, name: str) -> RunningPipeline:
    """A pipeline whose source was prepared in this stack.

    Raises:
        UsageError: it was not.
    """
    running = pipelines_of(stack)
    if name not in running:
        raise UsageError(
            f"no pipeline {name!r} runs in stack {stack.id}",
            details={"running": ", ".join(sorted(running)) or "none"},
            hint="test-infra run e2e --keep",
        )
    return running[name]


def pipelines_of(stack: Stack) -> dict[str, RunningPipeline]:
    """The pipelines that run in a stack, by name."""
    from test_infra.cdc.pipeline.running import running_pipelines

    return {pipeline.spec.name: pipeline for pipeline in running_pipelines(stack)}


def _components(of_type: type[T]) -> list[T]:
    import dagster as dg

    project = _importable_project()
    try:
        if project is None:
            from test_infra.definitions import tree
        else:
            tree = partial(dg.ComponentTree.for_project, project.root)
        return tree().get_all_components(of_type=of_type)
    except Exception as error:
        raise _refused(error) from error


def _importable_project() -> Project | None:
    """The project around the working folder, whose modules can be imported from now on, here and in our children."""
    project = find_project()
    if project is not None and str(project.import_root) not in sys.path:
        sys.path.insert(0, str(project.import_root))
    return project


def _refused(error: Exception) -> TestInfraError:
    """The error for definitions that do not load: field by field for a refused document, else Dagster's message."""
    from dagster.components.core.component_tree import ComponentTreeException

    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for cause in chain:
        if isinstance(cause, TestInfraError):
            return cause
        if isinstance(cause, ValidationError) and (problems := _problems(cause)):
            return BadDocument("the YAML of this project", problems)
    # A ComponentTreeException only says in which folder it happened.
    cause = next((cause for cause in chain if not isinstance(cause, ComponentTreeException)), error)
    return UsageError(
        "the definitions of this project do not load",
        details={type(cause).__name__: redact(str(cause))},
        hint="dg check yaml; dg check defs",
    )


def _problems(refusal: ValidationError) -> list[FieldProblem]:
    """The refused fields with file and line; empty when the error is not about a file."""
    found = []
    for problem in refusal.errors(include_url=False):
        place = _PLACE.fullmatch(".".join(map(str, problem["loc"])))
        if place is not None:
            given = problem["input"]
            seen = f", found {given!r}" if isinstance(given, str | int | float) else ""
            where = f"{os.path.relpath(place['file'], project_root())}:{place['line']}"
            found.append(FieldProblem(where, redact(f"{place['field']}: {problem['msg']}{seen}")))
    return found
