"""A service's HTTP application: guarded, documented at /docs, bounded, and answering problems whatever happens."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Flask, Response, g, request, send_from_directory
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from marshmallow import Schema
from sqlalchemy import Table, literal, select

from shared.config import Settings
from shared.database import Database, one_request, retried
from shared.http.auth import guard, public
from shared.http.bounds import BODY_LIMIT, HEADERS
from shared.http.examples import add_examples
from shared.http.fields import StrictParser
from shared.http.measuring import measure_requests
from shared.http.problems import ProblemApi, handle_weather, problem
from shared.logs import Interruption, about

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("fulfillment.http")

DOCS = Path(__file__).with_name("static")
DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

Check = Callable[[], None]


def readable(database: Database, table: Table) -> Check:
    """Passes as long as the table can be read."""
    statement = select(literal(1)).select_from(table).limit(1)

    def check() -> None:
        with database.reading() as connection:
            connection.execute(statement)

    return check


class Routes(Blueprint):  # type: ignore[misc]  # flask-smorest is untyped
    """A group of calls. Each view says who may call it (`requires`, `public`) and which problems it has of its own."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, __name__, description=description)
        self._prepare_doc_cbks.append(_document_problems)

    def arguments(self, schema: type[Schema], **kwargs: Any) -> Callable[[Any], Any]:
        """As flask-smorest has it, but one instance serves all requests: building one costs as much as loading."""
        decorate: Callable[[Any], Any] = super().arguments(schema(), **kwargs)
        return decorate


def problems(*statuses: int) -> Callable[[Any], Any]:
    """Document problems that a view answers, besides those that its roles and arguments bring along."""

    def mark(view: Any) -> Any:
        view._apidoc = {**deepcopy(getattr(view, "_apidoc", {})), "problems": statuses}
        return view

    return mark


def reply(document: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer; times become RFC 3339 with a Z. Underscores in the names of headers stand for hyphens."""
    response = Response(msgspec.json.encode(document), status, mimetype="application/json")
    for name, text in headers.items():
        response.headers[name.replace("_", "-")] = text
    return response


def unless_known(version: int, make: Callable[[], Response]) -> Response:
    """An answer marked with the version it shows; 304, and nothing is made, when the caller has that already."""
    known = request.if_none_match.contains_weak(str(version))
    response = Response(status=304) if known else make()
    response.headers["ETag"] = f'W/"{version}"'
    return response


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine: Flask need not look for one at each call."""
        return func

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Whoever asks is told in time that the database says nothing, whatever is waited for on the way."""
        with one_request():
            return super().wsgi_app(environ, start_response)

    def dispatch_request(self) -> ResponseReturnValue:
        """The view's answer; a view writes in one transaction, if at all, so it can be called again when that fails."""
        return retried(super().dispatch_request)


def create_app(
    settings: Settings,
    *,
    title: str,
    description: str,
    routes: Iterable[Blueprint],
    ready: Mapping[str, Check],
    examples: Mapping[str, Any] | None = None,
) -> Flask:
    """The application with `routes`, /healthz, /readyz, /openapi.json and /docs.

    `ready` names what /readyz asks; a check raises when this process cannot work. There must be API keys. `examples`
    are for the documentation, by field, or by schema and field.
    """
    if not settings.api_keys:
        raise ValueError("an API without API_KEYS would be open to nobody")
    app = _App(settings.service, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_LIMIT + 1,  # a body without an announced length would be cut off there: see fields.py
        MAX_FORM_MEMORY_SIZE=BODY_LIMIT,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        API_TITLE=title,
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=None,
    )
    app.url_map.merge_slashes = app.url_map.redirect_defaults = False  # a redirect would go to whatever Host was sent
    app.before_request(_begin)
    guard(app, settings)
    app.after_request(_finish)
    measure_requests(app, settings)
    handle_weather(app)
    api = ProblemApi(app, spec_kwargs={"info": {"description": description}, "servers": [{"url": "/"}]})
    api.spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    for each in routes:
        api.register_blueprint(each)
    api.register_blueprint(_health(ready))
    api.spec.components.schemas.pop("PaginationMetadata", None)  # flask-smorest's, which nothing here uses
    spec = api.spec.to_dict()
    add_examples(spec, examples or {})
    _serve_docs(app, json.dumps(spec))
    return app


def publish(app: Flask, path: str, make: Callable[[], Any]) -> None:
    """A JSON document that everybody may read; it is made when it is first asked for."""
    made = cache(lambda: msgspec.json.encode(make()))

    @app.get(path, endpoint=path)
    @public
    def document() -> Response:
        return Response(made(), mimetype="application/json")


def _document_problems(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """What roles, arguments and `problems` mean for a call's documentation."""
    roles, own = doc_info.get("roles"), set(doc_info.get("problems", ()))
    kinds = {each["in"] for each in doc_info.get("arguments", {}).get("parameters", ())}
    if "requestBody" in doc:
        own |= {400, 413, 415, 422}
    own |= {422} if "query" in kinds else set()
    if doc_info.get("arguments"):
        doc.get("responses", {}).pop("422", None)
    own |= {401, 403, 429} if roles else set()
    if name := doc_info.get("operation"):
        first, *more = name.split("_")
        doc["operationId"] = first + "".join(map(str.capitalize, more))
    doc["security"] = [{"bearer": []}] if roles else []
    for status in sorted(own):
        doc.setdefault("responses", {})[str(status)] = HTTPStatus(status).name
    return doc


def _begin() -> None:
    g.began = time.perf_counter()
    if (request.content_length or 0) > BODY_LIMIT:
        problem(413, f"A body may have at most {BODY_LIMIT} bytes.")


def _finish(response: Response) -> Response:
    given = {name.lower() for name in response.headers.keys()}  # noqa: SIM118 - pairs otherwise
    response.headers.extend({name: text for name, text in HEADERS.items() if name.lower() not in given})
    level = logging.DEBUG if request.path in ("/healthz", "/readyz") else logging.INFO
    if log.isEnabledFor(level):
        who = g.principal.id if "principal" in g else "-"
        took = (time.perf_counter() - g.began) * 1000
        where = request.path
        if request.method == "POST" and (made := response.headers.get("Location")):
            where = f"{request.path} ({made})"
        peer = request.remote_addr or "-"
        order_id = g.get("order_id") or (request.view_args or {}).get("order_id")
        log.log(
            level,
            "%s %s %d %.1f ms by %s from %s",
            *(request.method, where, response.status_code, took, who, peer),
            extra=about(order_id and str(order_id)),
        )
    return response


def _health(ready: Mapping[str, Check]) -> Routes:
    routes = Routes("health", "For load balancers and supervisors; no token is needed.")
    interruptions = {name: Interruption(log, f"not ready, {name}") for name in ready}

    @routes.route("/healthz")
    @public
    @routes.response(200, description="The process is alive.")
    def healthz() -> Response:
        """Is the process alive?"""
        return reply({"status": "ok"})

    @routes.route("/readyz")
    @problems(503)
    @public
    @routes.response(200, description="Everything it needs is there.")
    def readyz() -> Response:
        """Can the process do its work?"""
        missing = [name for name, check in ready.items() if not _passes(check, interruptions[name])]
        if missing:
            problem(503, f"Not ready: {', '.join(missing)}.", kind="not-ready", headers={"Retry-After": "2"})
        return reply({"status": "ready", "checks": dict.fromkeys(ready, "ok")})

    return routes


def _passes(check: Check, interruption: Interruption) -> bool:
    try:
        check()
    except Exception as error:
        interruption.hit(error)
        return False
    interruption.over()
    return True


def _serve_docs(app: Flask, openapi: str) -> None:
    @app.get("/openapi.json")
    @public
    def openapi_json() -> Response:
        return Response(openapi, mimetype="application/json")

    @app.get("/docs", defaults={"file": "index.html"})
    @app.get("/docs/", defaults={"file": "index.html"})
    @app.get("/docs/<path:file>")
    @public
    def docs(file: str) -> Response:
        response = send_from_directory(DOCS, file, max_age=3600)
        response.headers["Content-Security-Policy"] = DOCS_POLICY
        return response
