"""DBOS: a workflow of six steps, each with its checkpoint, started where it runs or taken from a queue.

python -m tests.benchmarks.peers.dbos_workflows prepare | drive-direct NUMBER | drive-queue | worker NUMBER
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Sequence

from dbos import DBOS, DBOSClient, SetWorkflowID

from tests.benchmarks.peers.doing import do
from tests.benchmarks.peers.driver import Driver, in_threads
from tests.benchmarks.peers.work import COMPLETE, PLACE, STEPS, Order, Step, place_of

THREADS = int(os.environ.get("DBOS_THREADS", "4"))  # of each process that runs workflows
QUEUE, POLL = "fulfillment", 0.02  # seconds
VERSION = "1"


def step_for(step: Step) -> Callable[[str], None]:
    @DBOS.step(name=step.name)
    def run(order: str) -> None:
        do(step, Order.from_json(order))

    return run


DURABLE = [step_for(step) for step in STEPS]


@DBOS.workflow(name="fulfill")
def fulfill(order: str) -> None:
    for step in DURABLE:
        step(order)
    do(COMPLETE, Order.from_json(order))  # safe to repeat, so it needs no checkpoint of its own


def launch(executor: str, queues: list[str]) -> None:
    DBOS(
        config={
            "name": "peer",
            "system_database_url": place_of("dbos"),
            "application_version": VERSION,
            "executor_id": executor,
            "max_executor_threads": THREADS,
            "sys_db_pool_size": THREADS + 4,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
    )
    DBOS.listen_queues(queues)
    DBOS.launch()


def start_here(numbers: Sequence[int]) -> list[str]:
    orders = [Order.new(number) for number in numbers]
    for order in orders:
        do(PLACE, order)
        with SetWorkflowID(order.id):
            DBOS.start_workflow(fulfill, order.to_json())
    return [order.id for order in orders]


def enqueue_by(client: DBOSClient) -> Callable[[Sequence[int]], list[str]]:
    def enqueue(numbers: Sequence[int]) -> list[str]:
        orders = [Order.new(number) for number in numbers]
        for order in orders:
            do(PLACE, order)
            options = {"workflow_name": "fulfill", "queue_name": QUEUE, "workflow_id": order.id, "app_version": VERSION}
            client.enqueue(options, order.to_json())
        return [order.id for order in orders]

    return enqueue


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            launch("prepare", [])
            DBOS.register_queue(QUEUE, worker_concurrency=2 * THREADS, polling_interval_sec=POLL)
            DBOS.destroy()
        case ["drive-direct", number]:
            launch(f"direct-{number}", [])
            asyncio.run(Driver(in_threads(start_here, 4), place_of("order"), at_once=4).serve())
        case ["drive-queue"]:
            enqueue = enqueue_by(DBOSClient(system_database_url=place_of("dbos")))
            asyncio.run(Driver(in_threads(enqueue, 4), place_of("order"), at_once=4).serve())
        case ["worker", number]:
            launch(f"worker-{number}", [QUEUE])
            threading.Event().wait()
    os._exit(0)
