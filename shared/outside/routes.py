"""The calls by which an operator changes how the simulated outside world behaves, while it runs."""

from dataclasses import asdict, replace
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from shared.config import Settings
from shared.database import Database
from shared.http.app import Routes, reply
from shared.http.auth import requires
from shared.http.fields import Share, StrictSchema, Truth, Whole
from shared.outside.simulator import SimulatedWorld, conduct_from, longest_wait

TOO_LONG = "Must be from {min} to {max}: at most a quarter of WATCHDOG, or a worker that waits would seem to hang."


def conduct_schema(longest: int) -> type[Schema]:
    """What may be set: nobody waits for an answer for more than `longest` milliseconds."""

    class ConductSchema(StrictSchema):
        """How a simulated party behaves; what is left out is as this service is configured."""

        latency_ms = Whole(0, 600_000, metadata={"description": "milliseconds until each answer"})
        error_rate = Share(metadata={"description": "share of answers that are lost"})
        outage = Truth()
        timeout_ms = Whole(1, longest, otherwise=TOO_LONG, metadata={"description": "later answers are lost"})

    return ConductSchema


class ShownSchema(Schema):
    """How a simulated party behaves."""

    latency_ms = fields.Integer(required=True)
    error_rate = fields.Float(required=True)
    outage = fields.Boolean(required=True)
    timeout_ms = fields.Integer(required=True)


def simulation_routes(
    world: SimulatedWorld, database: Database, settings: Settings, parties: tuple[str, ...]
) -> Routes:
    """`GET` and `PUT /simulation`: the conduct of each party; a PUT is for `?party=`, or for all of them."""
    default = conduct_from(settings)
    routes = Routes("simulation", "How the simulated outside world behaves. For operators.")

    class Which(StrictSchema):
        party = fields.String(validate=validate.OneOf(parties))

    everybody = Schema.from_dict({party: fields.Nested(ShownSchema, required=True) for party in parties}, name="World")

    def shown() -> Response:
        with database.reading() as connection:
            conduct = world.conduct(connection, default)
        return reply({party: asdict(conduct(party)) for party in parties})

    @routes.route("/simulation")
    @requires("operator")
    @routes.response(200, everybody)
    def get_simulation() -> Response:
        """How does the outside behave?"""
        return shown()

    @routes.route("/simulation", methods=["PUT"])
    @requires("operator")
    @routes.arguments(conduct_schema(longest_wait(settings)), example={"latency_ms": 300, "error_rate": 0.1})
    @routes.arguments(Which, location="query")
    @routes.response(200, everybody)
    def put_simulation(conduct: dict[str, Any], query: dict[str, str]) -> Response:
        """Make it slow, unreliable or silent, from the next batch on."""
        with database.transaction() as connection:
            for party in [query["party"]] if "party" in query else parties:
                world.set_conduct(connection, party, replace(default, **conduct))
        return shown()

    return routes
