"""From the attributes of a component's YAML to the model that it is made from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from pydantic import BaseModel

from test_infra.components.names import declared_at

C = TypeVar("C", bound=type)
M = TypeVar("M", bound=BaseModel)


def attributes_are(model: type[BaseModel]) -> Callable[[C], C]:
    """Class decorator for a component: its attributes in YAML are this model, and nothing else.

    The component's class takes the filled model as ``spec``, and as ``declared_at`` the file and line of its name.
    """

    def decorate(component: C) -> C:
        def resolve(cls: type[Any], context: dg.ResolutionContext, attributes: BaseModel) -> Any:
            return cls(spec=filled(attributes, context), declared_at=declared_at(context))

        component.model = classmethod(lambda _: model)  # type: ignore[attr-defined]
        component.resolve_from_model = classmethod(resolve)  # type: ignore[attr-defined]
        return component

    return decorate


def filled(attributes: M, context: dg.ResolutionContext) -> M:
    """The attributes with templates such as ``{{ env.PGHOST }}`` filled into their strings.

    Args:
        attributes: what the YAML says; unknown keys and wrong types were already refused, with file and line.
        context: Dagster's, for the scope of the templates.
    """
    values = context.resolve_value(attributes.model_dump(mode="json", exclude_unset=True))
    return type(attributes).model_validate(values)


def with_absolute_paths(spec: M, folder: Path) -> M:
    """The model with every path in it absolute; relative ones start at ``folder``, the folder of the YAML."""
    return spec.model_copy(update={name: _absolute(getattr(spec, name), folder) for name in type(spec).model_fields})


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return (folder / value).resolve()
    if isinstance(value, BaseModel):
        return with_absolute_paths(value, folder)
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    return value
