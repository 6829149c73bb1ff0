"""SQL statements as Jinja macros in a file ``*.sql.j2`` beside the module that runs them.

A name from outside goes through the filter ``identifier``, a text through ``literal``, a stored position through
``position``. A value that a macro uses and the caller did not give is an error, never an empty place in a statement.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.types.position import position
from test_infra.cdc.types.rule import identifier, literal

if TYPE_CHECKING:
    from jinja2.environment import TemplateModule


def statement(file: Path, name: str, /, **values: object) -> str:
    """One statement, with its values in place.

    Args:
        file: the template; read once per process.
        name: of the macro in it.
        values: the macro's arguments.

    Raises:
        TypeError: the macro does not take a value.
        jinja2.UndefinedError: the macro uses a value that was not given, or there is no such macro.
    """
    return str(getattr(_macros(file), name)(**values)).strip()


@cache
def _macros(file: Path) -> TemplateModule:
    import jinja2

    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - SQL, not HTML; quoting is the work of the filters
        loader=jinja2.FileSystemLoader(file.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"identifier": identifier, "literal": literal, "position": position}
    return environment.get_template(file.name).module
