"""YAML documents whose mistakes are told with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from test_infra.base.errors import BadDocument, FieldProblem, UsageError

M = TypeVar("M", bound=BaseModel)
Place = Sequence[str | int]


class Located:
    """A YAML file, and where in it each field stands.

    Args:
        path: the file.

    Raises:
        UsageError: it cannot be read.
        BadDocument: it is no YAML, or no mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text()
        except OSError as error:
            raise UsageError(f"{path} cannot be read", details={"seen": error.strerror or str(error)}) from error
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.values = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BadDocument(str(path), [FieldProblem(f"{path}:{line}", error.problem or "no YAML")]) from error
        if not isinstance(self.values, dict):
            raise BadDocument(str(path), [FieldProblem(f"{path}:1", "is no mapping of fields")])

    def where(self, place: Place) -> str:
        """``file:line`` of a field; of the nearest thing around it where it is not there."""
        node, line = self._root, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return f"{self.path}:{line}"

    def problem(self, place: Place, message: str) -> FieldProblem:
        """A mistake in one field."""
        return FieldProblem(f"{self.where(place)} {'.'.join(map(str, place))}", message)

    def read(self, model: type[M]) -> M:
        """The document as a model.

        Raises:
            BadDocument: names every field that is refused, with file and line.
        """
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            raise BadDocument(
                str(self.path), [self.problem(_plain(one["loc"], self.values), one["msg"]) for one in error.errors()]
            ) from error


def _plain(place: Place, values: object) -> Place:
    """The place without the names that pydantic puts in for the members of a union."""
    kept: list[str | int] = []
    for number, part in enumerate(place):
        last = number == len(place) - 1
        if isinstance(values, dict) and (part in values or last):
            kept, values = [*kept, part], values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            kept, values = [*kept, part], values[part]
    return kept


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """Line and value of one field or item."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None
