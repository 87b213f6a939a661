"""Every error of the HTTP APIs is an RFC 9457 problem that points to the field where there is one."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Response, abort, g, request
from flask_smorest import Api
from marshmallow import Schema, fields, validate
from werkzeug.exceptions import HTTPException, NotFound

from shared.database import TransientError
from shared.logs import Interruption, first_line

log = logging.getLogger("fulfillment.http")

# The kinds that problems can be told apart by, each the end of a `type`. The first of a status is its general one.
KINDS: dict[int, tuple[str, ...]] = {
    400: ("malformed-request",),
    401: ("unauthenticated", "unknown-token"),
    403: ("forbidden",),
    404: ("not-found",),
    405: ("method-not-allowed",),
    408: ("request-timeout",),
    409: ("conflict", "order-state", "orders-under-way", "key-in-use", "sold-otherwise"),
    413: ("body-too-large",),
    414: ("address-too-long",),
    415: ("not-json",),
    422: ("invalid-request", "key-used-otherwise", "not-sold"),
    429: ("too-many-requests", "too-many-wrong-tokens", "too-many-open-orders"),
    431: ("headers-too-large",),
    500: ("internal-error",),
    501: ("not-implemented",),
    503: ("unavailable", "not-ready", "overloaded", "database-away"),
}
TYPE = "urn:problem-type:fulfillment:"
MEDIA_TYPE = "application/problem+json"
NOWHERE = "Nothing is to be found at this address."
AWAY = "The database cannot be used at the moment. Try again; a POST with its Idempotency-Key is safe to repeat."


class FaultSchema(Schema):
    """One thing that is wrong with the request."""

    detail = fields.String(required=True)
    pointer = fields.String(metadata={"description": "JSON pointer (RFC 6901) to the field of the body"})
    parameter = fields.String(metadata={"description": "name of the query parameter, header or path segment"})


class ProblemSchema(Schema):
    """A problem (RFC 9457)."""

    type = fields.String(
        required=True,
        validate=validate.OneOf([TYPE + kind for kinds in KINDS.values() for kind in kinds]),
        metadata={"description": "what kind of problem it is, for programs"},
    )
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    errors = fields.List(fields.Nested(FaultSchema))
    order_status = fields.String(metadata={"description": "how the order stands, when that is the reason"})


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "",
    faults: Iterable[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> NoReturn:
    """End this request with a problem of one of KINDS; `faults` point to fields, `members` are added to the body."""
    abort(problem_response(status, detail, kind=kind, faults=faults, headers=headers, **members))


def problem_response(
    status: int,
    detail: str,
    *,
    kind: str = "",
    faults: Iterable[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """The same for handlers of exceptions, which return what they answer."""
    body = document(status, detail, kind=kind, instance=request.path, faults=list(faults), **members)
    response = Response(json.dumps(body), status, mimetype=MEDIA_TYPE)
    response.headers.extend(headers or {})
    return response


def document(
    status: int, detail: str, *, kind: str = "", instance: str, faults: Sequence[Mapping[str, str]] = (), **members: Any
) -> dict[str, Any]:
    """The body of a problem; `instance` is the path that was asked for."""
    kinds = KINDS.get(status, ())
    if kind and kind not in kinds:
        raise ValueError(f"{kind} is no kind of {status}")
    return {
        "type": TYPE + (kind or kinds[0]) if kinds else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        **members,
        **({"errors": list(faults)} if faults else {}),
    }


def wrong_parameter(name: str, detail: str, kind: str = "") -> NoReturn:
    """End this request with 422, naming a query parameter, header or path segment."""
    problem(422, f"{name}: {detail}", kind=kind, faults=[{"parameter": name, "detail": detail}])


class ProblemApi(Api):  # type: ignore[misc]  # flask-smorest is untyped
    """flask-smorest with problems instead of its own errors, in its answers and in its documentation."""

    ERROR_SCHEMA = ProblemSchema

    def _register_responses(self) -> None:
        normal: str = Api.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE = MEDIA_TYPE
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = normal

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Any refusal by Flask, by the argument parser or by an exception that nobody expected."""
        data = getattr(error, "data", None) or {}
        faults = list(_faults(data.get("messages") or {}))
        named = [f"{each.get('pointer', each.get('parameter', ''))}: {each['detail']}".lstrip(": ") for each in faults]
        said = NOWHERE if error.description == NotFound.description else error.description
        detail = "; ".join(named[:5]) or said or ""
        headers = {key: text for key, text in error.get_headers() if key.lower() != "content-type"}
        return problem_response(error.code or 500, detail, faults=faults, headers=headers)


def handle_weather(app: Flask) -> None:
    """Answer 503 with Retry-After while the database is away or overloaded."""

    interruption = Interruption(log, "requests are answered with 503, because the database cannot be used")

    def away(error: TransientError) -> Response:
        interruption.hit(f"{error.code} {first_line(error)}".strip())
        return problem_response(503, AWAY, kind="database-away", headers={"Retry-After": "2"})

    def answered(response: Response) -> Response:
        if response.status_code < 500 and "principal" in g:  # nearly all of these have asked the database
            interruption.over()
        return response

    app.register_error_handler(TransientError, away)
    app.after_request(answered)


def _faults(messages: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """webargs' nested messages by location, as one pointer or parameter each."""
    for location, nested in messages.items():
        for path, detail in _leaves(nested):
            if location == "json":
                yield {"pointer": "".join(f"/{_escaped(part)}" for part in path), "detail": detail}
            elif path:
                yield {"parameter": _escaped(path[0]), "detail": detail}
            else:
                yield {"detail": detail}


def _leaves(nested: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(nested, Mapping):
        for key, deeper in nested.items():
            yield from _leaves(deeper, path if key == "_schema" else (*path, str(key)))
    elif isinstance(nested, list | tuple):
        for each in nested:
            yield from _leaves(each, path)
    else:
        yield path, str(nested)


def _escaped(part: str) -> str:
    """One reference token of a JSON pointer, whatever a stranger has put into the name of a field."""
    return part[:100].replace("~", "~0").replace("/", "~1").encode("utf-8", "backslashreplace").decode()
