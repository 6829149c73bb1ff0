"""A stack as its user describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from test_infra.base.backend import Backend
from test_infra.base.document import Document
from test_infra.runtime.factory import backend_names
from test_infra.stack.registry import known_services
from test_infra.stack.service import ServiceDefinition


class _KnownServicesOnly(Document):
    """The services of a stack. One that is not named takes its defaults; null leaves it out."""

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, given: object) -> object:
        unknown = [name for name in given if name not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise ValidationError.from_exception_data(
                "Services",
                [
                    InitErrorDetails(
                        type=PydanticCustomError(
                            "unknown_service", "There is no such service; known: {known}", {"known": known}
                        ),
                        loc=(name,),
                        input=name,
                    )
                    for name in unknown
                ],
            )
        return given


def _field(service: ServiceDefinition) -> Any:
    default = service.settings() if service.on_by_default else None
    return service.settings | None, Field(default=default, description=service.description)


if TYPE_CHECKING:

    class Services(_KnownServicesOnly):
        """The services of a stack: one field for each service that the registry knows."""

        def __init__(self, **settings: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
else:
    Services = create_model(
        "Services",
        __base__=_KnownServicesOnly,
        __doc__=_KnownServicesOnly.__doc__,
        __module__=__name__,
        **{name: _field(service) for name, service in known_services().items()},
    )


def _known_backend(name: str) -> str:
    if name not in backend_names():
        known = " or ".join(f"'{known}'" for known in backend_names())
        raise PydanticCustomError("unknown_backend", "Input should be {known}", {"known": known})
    return name


BackendName = Annotated[
    str, AfterValidator(_known_backend), WithJsonSchema({"type": "string", "enum": list(backend_names())})
]


class StackSpec(Document):
    """The services of one test environment."""

    backend: BackendName = Field(
        default=Backend.LOCAL.value,
        description="Where services and Spark jobs run: `local` processes or `docker` containers; "
        "the environment variable TEST_INFRA_BACKEND wins.",
    )
    image: str | None = Field(
        default=None, description="Image of the containers; None: the one that was built from the installed sources."
    )
    services: Services = Services()
