"""Metrics: what is counted, under names that Prometheus likes, and what calls a person."""

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, Metric, generate_latest

from order_service import standing
from order_service.cli.stack import free_port
from order_service.service import SERVICE
from payment_service.service import SERVICE as PAYMENT
from shared import metrics
from shared.bootstrap import open_database, system_topology
from shared.clock import machine_now
from shared.config import Misconfigured
from shared.contracts import PaymentDeclined, StockReleased
from shared.depths import Depths
from shared.http.serve import end
from shared.messaging.broker import ConnectionLost, Delivery
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import Envelope
from shared.messaging.measures import Measures
from tests.architecture.source import ROOT
from tests.component.apps import application, bearer, prepare
from tests.component.orders import Shop, authorized_and_reserved, booked, wanted

PROMTOOL = shutil.which("promtool", path=f"{os.environ.get('PATH', '')}:/usr/bin")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine")
ALERTS = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
PAGE = (ROOT / "docs/operations.md").read_text()


def promtool(*words: str, given: bytes = b"") -> None:
    done = subprocess.run([str(PROMTOOL), *words], input=given, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


class Since:
    """How much each number has grown since this was made."""

    def __init__(self) -> None:
        self.before = numbers()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return numbers().get(key, 0.0) - self.before.get(key, 0.0)


def numbers() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted((name, str(text)) for name, text in sample.labels.items()))): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(f"sqlite:///{tmp_path}/order.db")
    yield shop
    shop.close()


def test_what_becomes_of_orders_is_counted(shop: Shop) -> None:
    """Each status that an order comes to, with its reason; each asking; how long steps and milestones took."""
    grown = Since()
    good, bad = shop.placed(wanted("good"), wanted("bad"))
    shop.clock.move(seconds=3)
    shop.fulfill(good)
    shop.deliver(PaymentDeclined(order_id=bad, detail="no"), StockReleased(order_id=bad))
    assert grown("fulfillment_orders_placed_total") == 2
    assert grown("fulfillment_order_status_changes_total", status="fulfilled", reason="") == 1
    assert grown("fulfillment_order_status_changes_total", status="cancelled", reason="payment_declined") == 1
    assert grown("fulfillment_order_milestone_seconds_count", status="paid") == 1
    assert grown("fulfillment_order_milestone_seconds_sum", status="paid") == pytest.approx(3, abs=0.1)
    assert grown("fulfillment_step_duration_seconds_count", step="payment", outcome="done") == 1
    assert grown("fulfillment_step_duration_seconds_sum", step="payment", outcome="failed") == pytest.approx(3)
    assert grown("fulfillment_step_requests_total", step="payment", of="work", attempt="first") == 2
    assert grown("fulfillment_step_requests_total", step="inventory", of="undo", attempt="first") == 1
    shop.placed(wanted("silent"))
    shop.clock.move(seconds=31)
    shop.tick()
    assert grown("fulfillment_step_requests_total", step="payment", of="work", attempt="again") == 1


def test_how_orders_stand_is_measured(shop: Shop) -> None:
    """Those under way by status, the age of the oldest, those that need a person, and at which step."""
    (early,) = shop.placed(wanted("early"))
    shop.clock.move(seconds=50)
    (late,) = shop.placed(wanted("late"))
    shop.deliver(*authorized_and_reserved(late), *booked(late))
    for _ in range(6):
        shop.clock.move(minutes=16)
        shop.tick()
    with shop.database.reading() as connection:
        standing.measure(connection, shop.flows, shop.clock.now(connection))
    known = numbers()
    assert known["fulfillment_orders_open", (("status", "confirmed"),)] == 1
    assert known["fulfillment_orders_open", (("status", "cancelling"),)] == 1
    assert known["fulfillment_orders_oldest_open_age_seconds", ()] == pytest.approx(50 + 6 * 16 * 60, abs=1)
    assert known["fulfillment_steps_parked", (("step", "capture"),)] == 1
    assert known["fulfillment_orders_needing_attention", ()] >= 1
    assert early < late


class Nowhere:
    """A broker that is away."""

    names = ("order.inbox", "order.dlq")

    def read(self) -> dict[str, int]:
        raise ConnectionLost("away")

    def close(self) -> None:
        pass


def test_depths_are_measured(shop: Shop) -> None:
    """Unpublished messages and the age of the oldest; a broker that is away has no depth, and hides nothing else."""
    shop.placed()
    shop.clock.move(seconds=40)
    settings = SERVICE.settings(environ={})
    Depths(replace(SERVICE, clock=shop.clock), settings, shop.database, Nowhere()).measure()
    known = numbers()
    assert known["fulfillment_outbox_messages", (("service", "order"),)] == 2
    assert known["fulfillment_outbox_oldest_age_seconds", (("service", "order"),)] == pytest.approx(40)
    assert known["fulfillment_dead_letters_parked", (("service", "order"),)] == 0
    depth = known["fulfillment_queue_messages", (("queue", "order.inbox"), ("service", "order"))]
    assert depth != depth  # not a number


def test_the_depth_of_a_queue_is_asked_at_the_broker(broker_url: str) -> None:
    """Messages that nobody has taken are counted; without its queues, it is as if the broker were away."""
    broker = RabbitMQ(broker_url)
    depths = broker.depths("payment")
    with pytest.raises(ConnectionLost):
        depths.read()
    broker.provision(system_topology(), settle=0)
    assert depths.read() == {"payment.inbox": 0, "payment.dlq": 0}
    connection = broker.connect("order")
    connection.publish([message("payment.requested")])
    while not connection.settled().confirmed:
        connection.take(0, 0.05)
    connection.close()
    while depths.read()["payment.inbox"] != 1:
        pass
    depths.close()


def message(kind: str) -> Envelope:
    return Envelope(
        id="01900000-0000-7000-8000-000000000001", type=kind, version=1, producer="order", body=b"{}",
        correlation_id="01900000-0000-7000-8000-000000000002", causation_id=None, occurred_at=machine_now(),
        traceparent=None,
    )  # fmt: skip


def delivery(kind: str) -> Delivery:
    return Delivery(envelope=message(kind), tag=1)


def test_strangers_choose_no_labels() -> None:
    """A type, a reason or a method that the program does not know is `other`: nobody can make a million series."""
    grown = Since()
    measures = Measures("payment", ["payment.requested"])
    measures.worked([delivery("payment.requested"), delivery("evil-1"), delivery("evil-2")], 0.01)
    measures.dead([(delivery("x"), "malformed: no JSON"), (delivery("y"), "Evil 17: reason")])
    assert grown("fulfillment_messages_worked_total", service="payment", type="payment.requested") == 1
    assert grown("fulfillment_messages_worked_total", service="payment", type="other") == 2
    assert grown("fulfillment_batch_messages_sum", service="payment") == 3
    assert grown("fulfillment_dead_letters_total", service="payment", kind="malformed") == 1
    assert grown("fulfillment_dead_letters_total", service="payment", kind="other") == 1


def test_requests_are_counted_by_route(tmp_path: Path) -> None:
    """An id in a path is no label, and neither is a path that there is not, or a method that somebody made up."""
    url = f"sqlite:///{tmp_path}/payment.db"
    prepare("payment", url)
    app, grown = application("payment", url), Since()
    client = app.test_client()
    client.get("/payments/01900000-0000-7000-8000-000000000001", headers=bearer("operator"))
    client.open("/nowhere/17", method="BREW")
    text = client.get("/metrics", headers=bearer("operator")).text
    named = {"service": "payment", "route": "/payments/<uuid:order_id>", "method": "GET"}
    assert grown("fulfillment_http_requests_total", **named, status="404") == 1
    assert grown("fulfillment_http_request_duration_seconds_count", **named) == 1
    assert grown("fulfillment_http_requests_total", service="payment", route="other", method="other", status="404") == 1
    assert "fulfillment_http_requests_total" in text
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", text)
    end(app)


def test_several_processes_at_one_port_are_not_read_as_one(tmp_path: Path) -> None:
    """Each has counted only a part: whoever asks is sent to the ports of their own."""
    url = f"sqlite:///{tmp_path}/payment.db"
    prepare("payment", url)
    app = application("payment", url, WEB_PROCESSES="2")
    answer = app.test_client().get("/metrics", headers=bearer("operator"))
    assert answer.status_code == 503
    assert "METRICS_PORT" in answer.json["detail"]
    end(app)


def test_processes_share_out_the_ports() -> None:
    """Each takes the next free one; when it has ended, nobody answers there; what is no port ends the start."""
    port = free_port()
    settings = PAYMENT.settings(environ={"METRICS_PORT": str(port)})

    def answers(number: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{number}/metrics", timeout=30) as response:
                return b"fulfillment_" in response.read()
        except OSError:
            return False

    with metrics.answering(settings):
        with metrics.answering(settings):
            assert answers(port)
            assert any(map(answers, range(port + 1, port + 4)))
        assert answers(port)
    assert not answers(port)
    elsewhere = PAYMENT.settings(environ={"METRICS_PORT": "9300", "METRICS_HOST": "192.0.2.1"})
    with pytest.raises(Misconfigured, match="METRICS_PORT"), metrics.answering(elsewhere):
        pass


def test_connections_of_a_pool_are_counted(tmp_path: Path) -> None:
    """In use and idle; a database that is closed is forgotten with it."""
    settings = PAYMENT.settings(environ={"DATABASE_URL": f"sqlite:///{tmp_path}/pool.db"})
    grown = Since()
    database = open_database(settings)
    with database.reading():
        assert grown("fulfillment_database_connections", service="payment", state="in_use") == 1
    assert grown("fulfillment_database_connections", service="payment", state="idle") == 1
    database.dispose()


@needs_promtool
def test_the_names_are_as_prometheus_likes_them(shop: Shop) -> None:
    """`promtool check metrics` has nothing to say."""
    shop.fulfill(*shop.placed())
    promtool("check", "metrics", given=generate_latest())


@needs_promtool
def test_alerts_fire_when_they_should_and_are_silent_else() -> None:
    """The rules are tested by promtool, each silent when all is well and firing when nothing is."""
    promtool("check", "rules", str(ROOT / "deploy/alerts.yml"))
    promtool("check", "config", str(ROOT / "deploy/prometheus.yml"))
    promtool("test", "rules", str(ROOT / "tests/component/alerts_test.yml"))


def test_each_alert_is_about_metrics_that_there_are_and_has_a_page() -> None:
    """A renamed metric would silence an alert; and whoever is called must find out what to do."""
    there = {sample for family in REGISTRY.collect() for sample in _samples(family)}
    tested = yaml.safe_load((ROOT / "tests/component/alerts_test.yml").read_text())["tests"]
    names = [rule["alert"] for rule in ALERTS]
    for test in tested:
        assert [each["alertname"] for each in test["alert_rule_test"]] == names
    for rule in ALERTS:
        assert set(re.findall(r"fulfillment_\w+", rule["expr"])) <= there, rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        section = PAGE.partition(f"\n### {rule['alert']}\n")[2].partition("\n### ")[0]
        assert "- Look: " in section, rule["alert"]
        assert "- Do: " in section, rule["alert"]


def _samples(family: Metric) -> set[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
    return {family.name + suffix for suffix in suffixes}


def test_the_page_has_every_metric() -> None:
    """docs/operations.md lists what there is, with its labels and its meaning."""
    rows = {
        f"| `{family.name}{'_total' * (family.type == 'counter')}` | {labels_of(family)} | {family.documentation} |"
        for family in REGISTRY.collect()
        if family.name.startswith("fulfillment_")
    }
    listed = set(re.findall(r"^\| `fulfillment_.*$", PAGE, re.MULTILINE))
    assert listed == rows


def labels_of(family: Metric) -> str:
    (collector,) = (each for each, names in REGISTRY._collector_to_names.items() if family.name in names)
    names = collector._labelnames if hasattr(collector, "_labelnames") else collector.labels
    return ", ".join(f"`{name}`" for name in names)
