"""What the YAML of a stack may name: refused with file and line, and with what there is instead."""

import pytest

from test_infra_tests.definitions.test_yaml import refusal

pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")


@pytest.mark.parametrize(
    ("attributes", "field", "said"),
    [
        (
            "  services:\n    kafkaa: {}\n",
            "services.kafkaa",
            "there is no such service; known: postgres, kafka, connect",
        ),
        ("  backend: podman\n", "backend", "Input should be 'local' or 'docker'"),
    ],
)
def test_an_unknown_name_is_refused_with_file_line_and_what_is_known(attributes: str, field: str, said: str) -> None:
    text = f"type: test_infra.components.ServiceStack\nattributes:\n{attributes}"
    words = refusal(text)
    assert f"attributes.{field} at " in words
    assert f"defs.yaml:{len(text.splitlines())}" in words
    assert said in words
