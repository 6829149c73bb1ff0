"""YAML documents whose mistakes are reported with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from test_infra.base.errors import BadDocument, FieldProblem, UsageError

M = TypeVar("M", bound=BaseModel)
FieldPath = Sequence[str | int]
"""Keys and list indexes from the root to one field."""


class YamlDocument:
    """A YAML file, with the line of each field.

    Args:
        path: the file.

    Raises:
        UsageError: it cannot be read.
        BadDocument: it is not YAML, or not a mapping.
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

    def where(self, field: FieldPath) -> str:
        """``file:line`` of a field; of the nearest field around it where it does not exist."""
        node, line = self._root, 1
        for part in field:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return f"{self.path}:{line}"

    def problem(self, field: FieldPath, message: str) -> FieldProblem:
        """A mistake in one field."""
        return FieldProblem(f"{self.where(field)} {'.'.join(map(str, field))}", message)

    def read(self, model: type[M]) -> M:
        """The document as a model.

        Raises:
            BadDocument: names every field that is refused, with file and line.
        """
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            raise BadDocument(
                str(self.path),
                [self.problem(_without_union_tags(one["loc"], self.values), one["msg"]) for one in error.errors()],
            ) from error


def _without_union_tags(field: FieldPath, values: object) -> FieldPath:
    """The field's path without the names that pydantic inserts for the members of a union."""
    kept: list[str | int] = []
    for number, part in enumerate(field):
        last = number == len(field) - 1
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
