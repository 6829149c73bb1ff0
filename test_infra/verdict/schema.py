"""The JSON schema of ``result.json``: ``python -m test_infra.verdict.schema > docs/result.schema.json``."""

import json
from typing import Any

from test_infra.verdict.result import SCHEMA_VERSION, Result

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema of what `verdict.report` writes, made from the model that writes it."""
    return {
        "$schema": DRAFT,
        "title": f"result.json of test_infra, version {SCHEMA_VERSION}",
        **{name: part for name, part in Result.model_json_schema(mode="serialization").items() if name != "title"},
    }


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201 - printing is what the command is for
