"""Which services stacks can have: ours, and those that installed packages add."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from test_infra.base.errors import UsageError
from test_infra.stack import registry
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.serve import Served
from test_infra.stack.spec import Services, StackSpec

USER_PACKAGE = Path(__file__).parents[2] / "user_package"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Puts a package on the path whose entry point ``extra`` is what some code leaves in ``SERVICE``."""

    def install(code: str, module: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nextra = {module}:SERVICE\n")
        monkeypatch.syspath_prepend(tmp_path)
        registry.known_services.cache_clear()

    yield install
    monkeypatch.undo()
    registry.known_services.cache_clear()


def test_every_service_of_a_stack_is_in_the_registry() -> None:
    assert list(Services.model_fields) == list(registry.known_services())
    assert list(registry.services_of(StackSpec())) == ["postgres", "kafka", "connect"]


def test_each_service_says_which_variables_lead_a_program_to_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the owner's word")
    endpoint = Endpoint(
        service="any", host="127.0.0.1", port=4000, url="any:4000",
        secret_files={"owner_password": tmp_path / "secret"},
        properties={"database": "shop", "owner_user": "owner"},
    )  # fmt: skip
    exported = {name: dict(service.exports(endpoint)) for name, service in registry.known_services().items()}
    assert exported == {
        "postgres": {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": "4000",
            "POSTGRES_DB": "shop",
            "POSTGRES_USER": "owner",
            "POSTGRES_PASSWORD": "the owner's word",
        },
        "kafka": {"KAFKA_BOOTSTRAP_SERVERS": "any:4000"},
        "connect": {"DEBEZIUM_URL": "any:4000"},
        "gateway": {},
    }


def test_an_unknown_service_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValidationError) as refused:
        StackSpec.model_validate({"services": {"kafkaa": {}}})
    (error,) = refused.value.errors()
    assert error["loc"] == ("services", "kafkaa")
    assert error["msg"] == "Value error, there is no such service; known: postgres, kafka, connect, gateway"


def test_a_packages_service_is_part_of_the_model_of_stacks() -> None:
    code = (
        "from test_infra.stack.registry import services_of\n"
        "from test_infra.stack.spec import StackSpec\n"
        "spec = StackSpec.model_validate({'services': {'hello': {'greeting': 'good day'}}})\n"
        "assert StackSpec.model_validate_json(spec.model_dump_json()) == spec\n"
        "assert spec.services.hello.greeting == 'good day'\n"
        "assert list(services_of(StackSpec())) == ['postgres', 'kafka', 'connect']\n"
        "assert 'HelloSettings' in StackSpec.model_json_schema()['$defs']\n"
        "print(list(services_of(spec)))\n"
    )
    path = f"{USER_PACKAGE}:{Path(registry.__file__).parents[2]}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "['postgres', 'kafka', 'connect', 'hello']\n", done.stderr


def test_the_image_is_not_told_of_a_service_that_it_does_not_have(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from test_infra.stack import serve\n"
        "from test_infra.stack.spec import StackSpec\n"
        "here = Path(sys.argv[1])\n"
        "services = {'kafka': {'heap_mib': 200}, 'hello': {'greeting': 'good day'}}\n"
        "spec = StackSpec.model_validate({'services': services})\n"
        "for name in ('kafka', 'connect'):\n"
        "    folders = {'config': here, 'data': here, 'secrets': here}\n"
        "    served = serve.Served(spec=spec, service=name, stack_id='x', ports={}, **folders)\n"
        "    serve.write(served, here / name)\n"
    )
    path = f"{USER_PACKAGE}:{Path(registry.__file__).parents[2]}"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": path}, check=True, timeout=60)
    for name in ("kafka", "connect"):
        served = Served.model_validate_json((tmp_path / name).read_text())
        assert served.known().name == name
        assert served.spec.services.kafka.heap_mib == 200


DEFINITION = (
    "from test_infra.stack.service import ServiceDefinition, ServiceSettings\n"
    "SERVICE = ServiceDefinition('{name}', 'x', ServiceSettings, lambda settings: None)\n"
)


def test_a_packages_service_is_known_by_its_name(install: Callable[[str, str], None]) -> None:
    install(DEFINITION.format(name="extra"), "ti_extra_good")
    assert "extra" in registry.known_services()


@pytest.mark.parametrize(
    ("module", "code", "seen"),
    [
        ("ti_extra_broken", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("ti_extra_other", "SERVICE = 3", "it is a int, not a ServiceDefinition"),
        ("ti_extra_taken", DEFINITION.format(name="kafka"), "there is a service 'kafka' already"),
        ("ti_extra_unfit", DEFINITION.format(name="my-service"), "'my-service' cannot be a service's name"),
        ("ti_extra_model", DEFINITION.format(name="copy"), "'copy' cannot be a service's name"),
    ],
)
def test_an_entry_point_that_is_no_service_is_refused_with_its_package(
    install: Callable[[str, str], None], module: str, code: str, seen: str
) -> None:
    install(code, module)
    with pytest.raises(UsageError, match=re.escape(seen)) as refused:
        registry.known_services()
    assert f"of package {module} cannot be used" in str(refused.value)
