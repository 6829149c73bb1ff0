from __future__ import annotations

from pathlib import Path

from test_infra.cdc.types import FAMILIES, REFUSED
from test_infra.cdc.types.page import page

ROOT = Path(__file__).parents[4]


def test_the_page_of_types_is_current() -> None:
    found = (ROOT / "docs" / "types.md").read_text(encoding="utf-8")
    assert found == page(), "docs/types.md is not what the code says; run: make docs"


def test_the_page_names_every_supported_and_every_refused_type() -> None:
    for named in (*FAMILIES, *REFUSED):
        assert named.name in page()
