"""Properties of the user's that would change the values of the events are refused by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from test_infra.base.errors import BadDocument, UsageError
from test_infra.cdc.pipeline.value_properties import check_overrides, check_worker
from test_infra.cdc.sources.postgres.source import PostgresSource

FORMS, KEPT = PostgresSource.value_forms, PostgresSource.kept_properties


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("value.converter.replace.null.with.default", "true"),
        ("key.converter.replace.null.with.default", "${env:UNKNOWN}"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
        ("value.converter.schemas.enable", "true"),
        ("decimal.handling.mode", "double"),
        ("time.precision.mode", "adaptive"),
        ("unavailable.value.placeholder", "x"),
        ("skipped.operations", "t"),
        ("errors.tolerance", "all"),
        ("driver.options", "-c extra_float_digits=0"),
        ("database.options", "-c extra_float_digits=0"),
        ("logical.message.prefix.include.list", "outbox"),
        ("logical.message.prefix.exclude.list", "test_infra.*"),
        ("message.key.columns", "public.t:a"),
        ("provide.transaction.metadata", "false"),
        ("topic.transaction", "mine"),
    ],
)
def test_a_property_that_changes_values_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadDocument) as refused:
        check_overrides("shop", {"snapshot.fetch.size": "1", name: value}, FORMS, KEPT)
    assert [problem.where for problem in refused.value.problems] == [f"connector.config.{name}"]


def test_other_properties_and_our_own_values_are_taken() -> None:
    check_overrides("shop", {"snapshot.fetch.size": "1", "decimal.handling.mode": "string"}, FORMS, KEPT)


@pytest.mark.parametrize("settings", [None, {"schemas.enable"}])
def test_a_worker_that_replaces_null_whatever_it_is_told_is_refused(settings: set[str] | None) -> None:
    with pytest.raises(UsageError, match="DEFAULT where the source has NULL"):
        check_worker(_worker(settings))
    check_worker(_worker({"schemas.enable", "replace.null.with.default"}))


def _worker(settings: set[str] | None) -> Any:
    return SimpleNamespace(plugin_settings=lambda _: settings)
