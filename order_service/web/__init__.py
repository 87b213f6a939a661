"""The Order API: places orders, shows how they stand, and lets people intervene. Start with orders.py."""

from flask import Flask

from order_service import tables
from order_service.commands import Commands
from order_service.forgetting import Persons
from order_service.group_commit import GroupCommit
from order_service.limits import OpenOrders
from order_service.terms import flows, terms
from order_service.view import Show
from order_service.web.console import add_console
from order_service.web.console.activity import Activity
from order_service.web.console.pages import Attached, Room
from order_service.web.console.remote import RemotePlayground
from order_service.web.console.sessions import Sessions
from order_service.web.customers import customer_routes
from order_service.web.events import event_routes
from order_service.web.examples import FIELDS
from order_service.web.explaining import explanation_routes
from order_service.web.orders import order_routes
from order_service.web.products import product_routes
from order_service.web.refusals import handle_refusals
from order_service.web.steps import step_routes
from order_service.web.watch import Watch
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database
from shared.http.app import create_app as create
from shared.http.app import readable
from shared.http.dead_letters import dead_letter_routes
from shared.http.serve import at_the_end, is_stopping
from shared.messaging.notifier import Notifier


def create_app(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    """The application. It starts threads with the first requests, so it may be built before a fork."""
    paced, clock = flows(settings), DatabaseClock()
    show = Show(paced)
    group_commit = GroupCommit(
        database,
        terms(settings),
        clock,
        notifier,
        backlog_limit=settings.backlog_limit,
        open_orders=OpenOrders(settings.open_orders),
    )
    commands = Commands(database=database, flows=paced, clock=clock, notifier=notifier)
    waiting = max(1, settings.web_threads * settings.wait_share // 100)  # each of them holds a thread
    watch = Watch(
        database,
        most=waiting,
        each=max(1, waiting // 2),
        streams=settings.stream_limit,
        per_key=settings.key_streams,
        stopping=lambda: is_stopping(app),
    )

    app = create(
        settings,
        title="Orders",
        description="Takes orders and sees each one through to its end: fulfilled, or cancelled with nothing owed.",
        routes=[
            order_routes(database, show, group_commit, commands, watch),
            step_routes(commands, show),
            explanation_routes(show, commands, settings),
            event_routes(database, show, settings, watch),
            product_routes(database, clock, settings.currency),
            customer_routes(Persons(database=database, clock=clock, notifier=notifier)),
            dead_letter_routes(tables.TABLES.dead_letters, database, clock, notifier),
        ],
        ready={"database": readable(database, tables.orders)},
        examples=FIELDS,
    )
    handle_refusals(app)
    add_console(
        app,
        Room(
            app=app,
            settings=settings,
            database=database,
            clock=clock,
            show=show,
            commands=commands,
            watch=watch,
            sessions=Sessions(database, clock),
            activity=Activity(clock),
            attached=_attached(settings.playground),
        ),
    )
    at_the_end(app, group_commit.close, watch.close)
    return app


def _attached(playground: str) -> Attached:
    """What `fulfillment up` gives that started this process, if it does."""
    if not playground:
        return Attached()
    remote = RemotePlayground(playground)
    return Attached(audit=remote.audit, playground=remote)
