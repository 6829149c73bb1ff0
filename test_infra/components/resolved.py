"""From YAML attributes to the model of a layer below."""

from typing import TypeVar

import dagster as dg
from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def resolved(attributes: M, context: dg.ResolutionContext) -> M:
    """The attributes with templates such as ``{{ env.PGHOST }}`` filled into their texts.

    Args:
        attributes: what the YAML says; unknown keys and wrong types were already refused, with file and line.
        context: Dagster's, for the scope of the templates.
    """
    filled = context.resolve_value(attributes.model_dump(mode="json", exclude_unset=True))
    return type(attributes).model_validate(filled)
