"""The metrics of the HTTP requests, and `GET /metrics`, where Prometheus reads those of this process."""

import time

from flask import Flask, Response, g, request
from prometheus_client import generate_latest

from shared import metrics
from shared.config import Settings
from shared.http.auth import requires
from shared.http.problems import problem


def measure_requests(app: Flask, settings: Settings) -> None:
    """Count every request by its route, and answer `GET /metrics` to operators.

    Where several processes share the port, each is to be asked at its METRICS_PORT: this one would tell of any of them.
    """

    def finish(response: Response) -> Response:
        method = request.method if request.method in metrics.METHODS else metrics.OTHER
        route = request.url_rule.rule if request.url_rule else metrics.OTHER
        metrics.HTTP_REQUESTS.labels(settings.service, method, route, str(response.status_code)).inc()
        took = time.perf_counter() - g.began
        metrics.HTTP_SECONDS.labels(settings.service, method, route).observe(took)
        return response

    @app.get("/metrics")
    @requires("operator")
    def get_metrics() -> Response:
        if settings.web_processes > 1:
            problem(503, "Several processes share this port: ask each for its metrics at its METRICS_PORT.")
        return Response(generate_latest(), mimetype="text/plain")

    app.after_request(finish)
