"""Celery: a chain of seven tasks on RabbitMQ, one queue for each service, acknowledged when done.

python -m tests.benchmarks.peers.celery_chain drive | worker [celery worker's options]
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from celery import Celery, chain

from tests.benchmarks.peers.doing import do
from tests.benchmarks.peers.driver import Driver, in_threads
from tests.benchmarks.peers.work import PLACE, ROUTE, Order, Step, place_of

app = Celery("peer", broker=place_of("broker"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_reject_on_worker_lost=True,
    task_default_delivery_mode="persistent",
    broker_transport_options={"confirm_publish": True},
    worker_prefetch_multiplier=16,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_heartbeat=0,
    broker_connection_retry_on_startup=True,
    task_queue_max_priority=None,
    broker_pool_limit=16,
    task_routes={f"{step.service}.{step.name}": {"queue": step.service} for step in ROUTE},
)


def task_for(step: Step) -> Callable[[str], None]:
    @app.task(name=f"{step.service}.{step.name}")
    def task(order: str) -> None:
        do(step, Order.from_json(order))

    return task


TASKS = [task_for(step) for step in ROUTE]


def place(numbers: Sequence[int]) -> list[str]:
    orders = [Order.new(number) for number in numbers]
    for order in orders:
        do(PLACE, order)
        chain(*(task.si(order.to_json()) for task in TASKS)).apply_async()
    return [order.id for order in orders]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drive"]:
            asyncio.run(Driver(in_threads(place, 4), place_of("order"), at_once=4).serve())
        case ["worker", *options]:
            quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
            queues = ",".join(dict.fromkeys(step.service for step in ROUTE))
            app.worker_main(["worker", *quiet, f"--queues={queues}", *options])
