"""The YAML of a pipeline, and of the stack around it, for the tables of a live database."""

import re
from collections.abc import Iterator, Sequence

import yaml

from test_infra.cdc.sources.postgres.survey import Survey, SurveyedTable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"}
LOOPBACK = "localhost"
MOST_LETTERS = 10_000
"""Longer than any name, so that none is written in two lines."""


def pipeline_yaml(name: str, found: Survey) -> str:
    """A pipeline of every table that can be captured; the others are comments, with the reason.

    Args:
        name: of the pipeline.
        found: what the database has.
    """
    return "\n".join([*_head(found), *_attributes(name, found)]) + "\n"


def stack_yaml(name: str, found: Survey) -> str:
    """A stack that attaches to the database; passwords are read from environment variables.

    Args:
        name: of the pipeline, from which the variables are called.
        found: what the database has.
    """
    where = found.address
    capture = found.capture_user or f"{name}_capture"
    prefix = name.upper()
    lines = [
        "type: test_infra.components.ServiceStack",
        "",
        "attributes:",
        "  services:",
        "    postgres:",
        "      external:",
        f"        host: {_text(where.host if not where.host.startswith('/') else LOOPBACK)}",
        f"        port: {where.port}",
        f"        database: {_text(where.database)}",
        "        # Owns the tables; makes the publication.",
        f"        owner_user: {_text(where.user)}",
        f"        owner_password_env: {prefix}_OWNER_PASSWORD",
        "        # Debezium's role. test_infra grants it SELECT on the captured tables and nothing else.",
        *([] if found.capture_user else [f"        # CREATE ROLE {capture} LOGIN REPLICATION PASSWORD '...';"]),
        f"        capture_user: {_text(capture)}",
        f"        capture_password_env: {prefix}_CAPTURE_PASSWORD",
    ]
    return "\n".join(lines) + "\n"


def _head(found: Survey) -> Iterator[str]:
    fit = [table for table in found.tables if not table.fault]
    where = found.address
    yield from _comment(
        f"Drafted by test-infra from {where.database} at {where.host}:{where.port}, "
        f"{'schema' if len(found.schemas) == 1 else 'schemas'} {', '.join(found.schemas)}: "
        f"{len(fit)} of {len(found.tables)} tables can be captured."
    )
    for finding, remedy in found.findings:
        yield from _comment(f"To mend first: {finding}" + (f" ({remedy})" if remedy else ""))


def _attributes(name: str, found: Survey) -> Iterator[str]:
    yield from ("type: test_infra.components.CdcPipeline", "", "attributes:", f"  name: {name}", "  source:")
    yield f"    schema_name: {_text(found.schemas[0])}"
    yield "  tables:"
    for table in found.tables:
        yield from (_fit(table) if not table.fault else _unfit(table))
    yield "  # The tables have traffic of their own. `load: {}` writes seeded rows instead: for a test database only."
    yield "  load: null"
    yield "  # The longest lag that is still green, from commit to lake."
    yield "  lag:"
    yield "    changes_p95_s: 5"
    yield "    mirror_p95_s: 5"


def _fit(table: SurveyedTable) -> Iterator[str]:
    if table.generated:
        yield f"    # not captured, because generated: {_line(', '.join(table.generated))}"
    if not table.excluded:
        yield f"    - {_text(table.id.label)}"
        return
    yield f"    - table: {_text(table.id.label)}"
    yield "      columns:"
    yield "        exclude:"
    for column, reason in table.excluded:
        yield f"          - {_text(column)}  # {_line(reason)}"


def _unfit(table: SurveyedTable) -> Iterator[str]:
    yield f"    # - {_text(table.id.label)}"
    yield from _comment(table.fault + (f"; {table.remedy}" if table.remedy else ""), "    #     ")


def _comment(text: str, prefix: str = "# ") -> Sequence[str]:
    return [f"{prefix}{_line(text)}"]


def _line(text: str) -> str:
    """One line of a comment: a table may be called as it likes."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _text(value: str) -> str:
    """A string of YAML: as it is where it can be read as nothing else, in double quotes otherwise."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return str(yaml.safe_dump(value, default_style='"', allow_unicode=True, width=MOST_LETTERS)).strip()
