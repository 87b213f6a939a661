"""How the console's process asks whoever holds the system to break it: a small API, for that process alone."""

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from flask import Flask, Response, request

from order_service.cli.system.playground import Playground
from order_service.web.console.breaking import Refusal
from order_service.web.console.pages import Audited
from shared.http.serve import running

THREADS = 4


@contextmanager
def controlled(ground: Playground, audit: Callable[[], Audited], key: str, port: int) -> Iterator[None]:
    """Let those who know the key use the playground, at a port of this machine."""
    acts: dict[str, Callable[..., Any]] = {
        "fates": ground.fates,
        "place": ground.place,
        "set": ground.set,
        "mend": ground.mend,
        "make_trouble": ground.make_trouble,
        "state": ground.state,
        "set_rate": ground.set_rate,
        "audit": audit,
    }
    app = Flask("playground")

    @app.post("/")
    def act() -> Response:
        """Do one of them with the arguments that are given; 409 with `detail` when it cannot be done."""
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {key}".encode()):
            return Response(status=401)
        asked = request.get_json()
        try:
            result = acts[asked["act"]](*asked["with"])
        except Refusal as refusal:
            return Response(msgspec.json.encode({"detail": str(refusal)}), 409)
        return Response(msgspec.json.encode({"result": result}), mimetype="application/json")

    with running(app, port=port, threads=THREADS):
        yield
