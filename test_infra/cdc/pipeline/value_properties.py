"""Connector properties on which the values of the events depend; the user's own may not change them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from test_infra.base.errors import BadDocument, FieldProblem, UsageError

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.connect_client import ConnectClient

CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
KEEPS_NULL = "replace.null.with.default"
"""A converter that replaces it writes a column's DEFAULT for a NULL; so does Kafka's, unless it is told not to."""

_CONVERTERS = {
    f"{side}.converter{setting}": value
    for side in ("key", "value")
    for setting, value in (("", CONVERTER), (".schemas.enable", "false"), (f".{KEEPS_NULL}", "false"))
}
EVENTS: Mapping[str, str] = MappingProxyType(
    {**_CONVERTERS, "skipped.operations": "none", "errors.tolerance": "none"},
)
"""Of every source: what is read is JSON without schemas, nothing is left out, and NULL stays NULL."""
_READ_AS = {"unavailable.value.placeholder": "__debezium_unavailable_value", "money.fraction.digits": "2"}
"""Debezium's defaults that are relied on."""


def check_overrides(
    pipeline: str, config: Mapping[str, str], forms: Mapping[str, str], kept: Mapping[str, str]
) -> None:
    """The user's further properties leave alone what the values of the events depend on.

    Args:
        pipeline: its name.
        config: the user's ``connector: config:``.
        forms: property -> the only value whose results can be read, of the source.
        kept: property of the source that cannot be given -> why.

    Raises:
        BadDocument: one does not; names each property, what it is set to and what it must be.
    """
    wanted = {**EVENTS, **_READ_AS, **forms}
    problems = [
        FieldProblem(f"connector.config.{name}", f"is {value!r}, must be {wanted[name]!r}: {_why(name)}")
        for name, value in config.items()
        if value != wanted.get(name, value)
    ]
    problems += [
        FieldProblem(f"connector.config.{name}", f"cannot be given: {kept[name]}") for name in config if name in kept
    ]
    if problems:
        raise BadDocument(f"connector of pipeline {pipeline}", problems)


def check_worker(client: ConnectClient) -> None:
    """The worker's JSON converter can keep NULL; an older one ignores the setting, in silence.

    Raises:
        UsageError: it cannot.
    """
    known = client.plugin_settings(CONVERTER)
    if known is None or KEEPS_NULL not in known:
        seen = "it has no such converter" if known is None else f"it knows {', '.join(sorted(known))}"
        raise UsageError(
            "Kafka Connect would write a column's DEFAULT where the source has NULL",
            details={"setting": f"{KEEPS_NULL} of {CONVERTER}", "seen": seen},
            hint="use a worker of Kafka 3.5 or newer",
        )


def _why(name: str) -> str:
    if name.endswith(KEEPS_NULL):
        return "NULL in a column with a DEFAULT would arrive as the default"
    if name in EVENTS:
        return "the stream reads every event, as JSON without schemas"
    return "another form of the values has not been proved exact"
