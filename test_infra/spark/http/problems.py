"""Errors of the API as RFC 9457 problem documents: what failed, what was seen, how to mend it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from test_infra.base.errors import BadDocument, NotReady, TestInfraError, UsageError
from test_infra.base.redaction import redact
from test_infra.spark.gateway.gateway import LogsRemoved, NotYourJob, SubmissionFailed
from test_infra.spark.gateway.record import KeyConflict
from test_infra.spark.gateway.record_rows import UnknownJob

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[TestInfraError], int], ...] = (
    (UnknownJob, 404),
    (KeyConflict, 409),
    (NotYourJob, 403),
    (LogsRemoved, 410),
    (BadDocument, 422),
    (SubmissionFailed, 502),
    (UsageError, 422),
    (NotReady, 504),
)


class Problem(BaseModel):
    """An error."""

    title: str = Field(description="What failed, one line.")
    status: int = Field(description="The HTTP status.")
    details: dict[str, str] = Field(default_factory=dict, description="What was seen: label or field -> text.")
    hint: str = Field(default="", description="How to mend it.")


def answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """The problem as a response, redacted."""
    body = {
        "title": redact(problem.title),
        "status": problem.status,
        "details": {redact(label): redact(text) for label, text in problem.details.items()},
        "hint": redact(problem.hint),
    }
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register handlers that answer every error of the API with a problem document."""
    app.add_exception_handler(TestInfraError, _foreseen)
    app.add_exception_handler(RequestValidationError, _refused_fields)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unforeseen)


def _foreseen(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TestInfraError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
    return answer(Problem(title=error.what, status=status, details=error.details, hint=error.hint or ""))


def _refused_fields(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    details = {".".join(map(str, one["loc"])): str(one["msg"]) for one in error.errors()}
    hint = "mend the named fields; GET /openapi.json says what each may be"
    return answer(Problem(title="the request is refused", status=422, details=details, hint=hint))


def _plain(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hint = "GET /openapi.json lists what there is" if error.status_code in {404, 405} else ""
    return answer(Problem(title=str(error.detail), status=error.status_code, hint=hint), dict(error.headers or {}))


def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    title = f"unexpected error in the gateway: {type(error).__name__}"
    return answer(Problem(title=title, status=500, hint="test-infra logs gateway has the lines that say where"))
