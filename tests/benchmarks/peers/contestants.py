"""Who runs against whom, with which settings: the best of those that README.md says were tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SERVICES = ("order", "payment", "inventory", "shipping")


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Processes of one module, by verb. Those that place are `drivers`; the others are counted under `name`."""

    name: str
    module: str
    drivers: tuple[str, ...] = ("drive",)
    workers: tuple[str, ...] = ()
    server: str = ""  # a server of its own
    program: str = ""  # the file that it needs
    prepare: str = ""  # to be run once, before all others
    one_database: bool = False
    broker: bool = True
    ports: tuple[str, ...] = ()
    outstanding: int = 64  # orders under way when as many are placed as end
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it runs in this project's environment and on its tables."""
        return self.module in ("ours", "embedded", "floor")


OURS = Contestant(
    name="ours",
    module="ours",
    prepare="prepare",
    drivers=("drive-group 50",),
    workers=tuple(f"worker {name}" for name in SERVICES),
    outstanding=600,
)
ALL = (
    Contestant(
        name="dbos-direct",
        module="dbos_workflows",
        prepare="prepare",
        drivers=("drive-direct 0", "drive-direct 1"),
        one_database=True,
        broker=False,
        outstanding=32,
    ),
    Contestant(
        name="dbos-queue",
        module="dbos_workflows",
        prepare="prepare",
        drivers=("drive-queue",),
        workers=("worker 0", "worker 1"),
        one_database=True,
        broker=False,
    ),
    Contestant(name="celery", module="celery_chain", workers=("worker --pool=threads --concurrency=8",)),
    Contestant(name="aio-pika", module="aio_pika_services", workers=tuple(f"serve {name}" for name in SERVICES)),
    Contestant(name="faststream", module="faststream_services", workers=tuple(f"serve {name}" for name in SERVICES)),
    Contestant(
        name="restate",
        module="restate_workflows",
        drivers=("drive 2",),
        workers=("worker 0", "worker 1"),
        server="server",
        program=".venv-peers/node_modules/.bin/restate-server",
        ports=("ingress", "admin", "node", "endpoint0", "endpoint1"),
        one_database=True,
        broker=False,
    ),
    replace(OURS, name="floor", module="floor"),
    replace(OURS, name="floor-bundles", module="floor", workers=tuple(f"{each} 50" for each in OURS.workers)),
    OURS,
    replace(
        OURS,
        name="ours-http",
        drivers=("drive-http 50",),
        workers=("web", *OURS.workers),
        ports=("http",),
    ),
    Contestant(name="embedded", module="embedded", one_database=True, broker=False, outstanding=1_000),
)
