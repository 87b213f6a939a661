"""Metrics for Prometheus: those that all services have, and the port where a process is asked for its own.

What is counted is counted once a batch or once a request. A label has some dozens of values at most, and never an id:
what strangers choose is `other`.
"""

import errno
import logging
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, Thread
from weakref import WeakKeyDictionary
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.config import Misconfigured, Settings

log = logging.getLogger("fulfillment.metrics")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for each counter, which nobody asks for

MOST_PROCESSES = 32  # of one installation on one machine that take ports one after the other
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"
_KIND = re.compile(r"[a-z][a-z_]{0,39}")

HTTP_REQUESTS = Counter(
    "fulfillment_http_requests", "Requests answered.", ["service", "method", "route", "status"]
)  # fmt: skip
HTTP_SECONDS = Histogram(
    "fulfillment_http_request_duration_seconds",
    "From the beginning of a request's work to its answer; of a stream, to its beginning.",
    ["service", "method", "route"],
    buckets=SECONDS,
)
BATCH_MESSAGES = Histogram(
    "fulfillment_batch_messages", "Messages worked in one transaction.", ["service"], buckets=MESSAGES
)
BATCH_SECONDS = Histogram(
    "fulfillment_batch_duration_seconds", "How long a batch took, calls outside included.", ["service"], buckets=SECONDS
)
DELAY_SECONDS = Histogram(
    "fulfillment_message_delay_seconds",
    "Age of a batch's first message when it was taken, by the clocks of two services.",
    ["service"],
    buckets=(*SECONDS, 300.0, 1800.0),
)
WORKED = Counter("fulfillment_messages_worked", "Messages worked, repeats among them.", ["service", "type"])
PUBLISHED = Counter("fulfillment_messages_published", "Messages handed to the broker.", ["service"])
CONFIRMED = Counter("fulfillment_messages_confirmed", "Messages that the broker has confirmed.", ["service"])
REFUSED = Counter(
    "fulfillment_messages_refused",
    "Messages that the broker has not confirmed, to be published again.",
    ["service", "reason"],
)
DEAD_LETTERS = Counter(
    "fulfillment_dead_letters", "Messages put aside because they cannot be worked.", ["service", "kind"]
)
INTERRUPTIONS = Counter(
    "fulfillment_worker_interruptions", "How often a worker began to wait for broker or database.", ["service", "cause"]
)
OUTBOX = Gauge("fulfillment_outbox_messages", "Unpublished messages, counted up to 100,000.", ["service"])
OUTBOX_AGE = Gauge(
    "fulfillment_outbox_oldest_age_seconds", "Age of the oldest unpublished message; 0 without any.", ["service"]
)
PARKED_LETTERS = Gauge(
    "fulfillment_dead_letters_parked", "Dead letters that nobody has replayed or discarded, up to 10,000.", ["service"]
)
QUEUE = Gauge(
    "fulfillment_queue_messages",
    "Messages at the broker that wait for a worker; NaN while the broker is away.",
    ["service", "queue"],
)
MEASURED = Gauge(
    "fulfillment_measured_timestamp_seconds", "When the depths in the database were measured last.", ["service"]
)
CONNECTED = Gauge("fulfillment_broker_connected", "Whether the worker is connected to the broker.", ["service"])
OUTSTANDING = Gauge("fulfillment_confirms_outstanding", "Messages published and not yet confirmed.", ["service"])
EVENTS_PER_MESSAGE = Gauge(
    "fulfillment_events_per_message", "Events that of late came in one message of the broker.", ["service"]
)


class BatchHistogram(Collector):
    """A histogram that takes the observations of a whole batch under one lock."""

    def __init__(
        self, name: str, help_text: str, labels: Collection[str], buckets: Collection[float] = SECONDS
    ) -> None:
        self._name, self._help, self.labels = name, help_text, list(labels)
        self._bounds = sorted(buckets)
        self._lock = Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        REGISTRY.register(self)

    def observe(self, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """Take these values, each with its labels in the declared order."""
        with self._lock:
            for labels, value in values:
                if (counts := self._counts.get(labels)) is None:
                    counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
                counts[bisect_left(self._bounds, value)] += 1
                self._sums[labels] = self._sums.get(labels, 0.0) + value

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self._name, self._help, labels=self.labels)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self.labels)
        with self._lock:
            known = [(labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        for labels, counts, total in known:
            family.add_metric(labels, list(self._cumulative(counts)), total)
        yield family

    def _cumulative(self, counts: list[int]) -> Iterator[tuple[str, float]]:
        so_far = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], counts, strict=True):
            so_far += count
            yield bound, so_far


class Pools(Collector):
    """The connections of each database that is open in this process."""

    labels = ("service", "state")

    def __init__(self) -> None:
        self._lock = Lock()
        self._pools: WeakKeyDictionary[object, tuple[str, Callable[[], tuple[int, int]]]] = WeakKeyDictionary()
        REGISTRY.register(self)

    def watch(self, service: str, owner: object, count: Callable[[], tuple[int, int]]) -> None:
        """As long as `owner` lives, `count` says how many connections of its pool are in use, and how many idle."""
        with self._lock:
            self._pools[owner] = service, count

    def describe(self) -> Iterator[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            pools = list(self._pools.values())
        found: dict[tuple[str, str], int] = {}
        for service, count in pools:
            for state, number in zip(("in_use", "idle"), count(), strict=True):
                found[service, state] = found.get((service, state), 0) + number
        family = self._family()
        for labels, number in sorted(found.items()):
            family.add_metric(labels, number)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("fulfillment_database_connections", "Connections to the database.", labels=self.labels)


POOLS = Pools()


def kind(reason: str) -> str:
    """A reason's first word, if it is one of a program: strangers choose other texts."""
    word = reason.partition(":")[0]
    return word if _KIND.fullmatch(word) else OTHER


def count_all(counter: Counter, service: str, numbers: Mapping[str, int]) -> None:
    """Add to several children of a counter that has one label besides the service."""
    for label, number in numbers.items():
        counter.labels(service, label).inc(number)


@contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Within it, this process answers with its metrics at METRICS_PORT, or the next port that is free, if there is one.

    So the processes of an installation on one machine need no numbers of their own. Raises Misconfigured when none of
    the next MOST_PROCESSES ports is free.
    """
    if not settings.metrics_port:
        yield
        return
    server, thread = _start(settings)
    log.info("metrics are at port %d", server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _start(settings: Settings) -> tuple[WSGIServer, Thread]:
    first, last = settings.metrics_port, settings.metrics_port + MOST_PROCESSES - 1
    for port in range(first, last + 1):
        try:
            return start_http_server(port, addr=settings.metrics_host)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == last:
                where = f"{settings.metrics_host}, ports {first} to {port}"
                raise Misconfigured(f"{settings.service}: METRICS_PORT: {where}: {error.strerror}") from error
    raise AssertionError("there are some ports in a range")
