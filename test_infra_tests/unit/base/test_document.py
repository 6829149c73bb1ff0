"""What every document of ours refuses."""

from __future__ import annotations

import pytest
from pydantic import ConfigDict, ValidationError

from test_infra.base.document import Document


class Point(Document):
    x: int = 0


class Finite(Point):
    model_config = ConfigDict(allow_inf_nan=False)


@pytest.mark.parametrize("kind", [Point, Finite])
def test_an_unknown_field_is_refused_and_a_known_one_is_never_changed(kind: type[Point]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({"x": 1, "y": 2})
    with pytest.raises(ValidationError, match="frozen"):
        kind(x=1).x = 2  # type: ignore[misc]
