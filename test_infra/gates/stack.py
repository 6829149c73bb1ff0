"""The gate on the services of a stack."""

from collections.abc import Mapping, Sequence

import dagster as dg

from test_infra.gates.gate import LATE, Gate, JudgeContext
from test_infra.resources.keys import service_key
from test_infra.stack.stability import happened_at, judge_service
from test_infra.verdict.evidence import Finding
from test_infra.verdict.run import read_record

PROMISE = """No service ended by itself or was restarted during the run, and each is usable at its end.

A service that dies and comes back may hide what it lost, so a restart that nobody planned is red even when every
table is right. Look first at the events in the table, then at the log of the service, then at `test-infra doctor`
(memory)."""


def service_stability(services: Sequence[str], after: Sequence[dg.AssetKey] = ()) -> Gate:
    """The gate that looks at every service when everything else is done.

    Args:
        services: names of the services.
        after: assets after which it looks.
    """
    return Gate(
        name="service_stability",
        step="service_stability",
        promise=PROMISE,
        subjects={service: service_key(service) for service in services},
        judge=_judge,
        priority=LATE,
        after=tuple(after),
    )


def _judge(context: JudgeContext, subjects: Sequence[str]) -> Mapping[str, Finding]:
    states = {service.name: (service.state, service.detail) for service in context.stack.status().services}
    record = read_record(context.run_dir)
    since = record.started_at.timestamp() if record else 0.0
    events = [event for event in context.stack.events() if happened_at(event) >= since]
    stack = context.stack
    return {
        service: judge_service(service, states.get(service), events, stack.ended_unasked(service, since))
        for service in subjects
    }
