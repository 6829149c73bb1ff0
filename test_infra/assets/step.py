"""Every step that makes an asset: its record in the run's folder, and errors without a traceback of ours."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from test_infra.base.errors import InfrastructureError, TestInfraError
from test_infra.base.redaction import redact
from test_infra.resources.run_folder import Context, run_folder
from test_infra.resources.stack import StackResource
from test_infra.verdict.run import StepRecord, write_step

OWNERS = ("team:data-platform",)
UNFORESEEN = 3
"""Exit code of an error that nobody foresaw: a fault of test_infra, and no verdict on anything."""


@contextmanager
def step(context: Context, stack: StackResource, name: str, assets: Sequence[str]) -> Iterator[Path]:
    """Write the record of a step when its body ends; yields the run's folder.

    Args:
        context: of the op or asset.
        stack: which stack the run uses.
        name: name of the step.
        assets: paths of the assets that the step makes.

    Raises:
        Failure: instead of a foreseeable error, with its text and without a traceback of ours.
    """
    folder = run_folder(context, stack)
    started_at = datetime.now(UTC)

    def record(exit_code: int | None, error: str) -> None:
        write_step(
            folder,
            StepRecord(
                step=name,
                assets=tuple(assets),
                started_at=started_at,
                ended_at=datetime.now(UTC),
                exit_code=exit_code,
                error=error,
            ),
        )

    try:
        yield folder
    except TestInfraError as error:
        record(error.exit_code, str(error))
        metadata = {"log": dg.MetadataValue.path(str(error.log))} if error.log else {}
        raise dg.Failure(redact(str(error)), metadata=metadata) from error
    except GeneratorExit:
        raise
    except BaseException as error:
        record(UNFORESEEN, _unforeseen(error))
        raise
    else:
        record(None, "")


def _unforeseen(error: BaseException) -> str:
    """An error without a text for people, and where it was raised."""
    raised = traceback.extract_tb(error.__traceback__)
    said = InfrastructureError(
        f"unexpected {type(error).__name__}: a fault of test-infra",
        details={
            "seen": str(error).strip() or "nothing more",
            **({"raised in": f"{raised[-1].filename}:{raised[-1].lineno}"} if raised else {}),
        },
        hint="the traceback is in the events of the run: test-infra dev",
    )
    return str(said)
