"""The calls by which an operator sees what could not be worked, and has it worked again."""

import logging
from collections.abc import Sequence
from typing import Any

from flask import Response
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy import RowMapping

from shared.clock import Clock
from shared.database import Database
from shared.http.app import Routes, reply
from shared.http.auth import current, requires
from shared.http.fields import Moment, StrictSchema, Text, WholeText
from shared.ids import uuid7
from shared.messaging.durability.dead_letters import DeadLetters, Like
from shared.messaging.notifier import Notifier

log = logging.getLogger("fulfillment.http")

MOST = 200
ANY = r"^[^\x00]+$"  # strangers choose the ids of what cannot be read
PARKED = "parked unless said otherwise, or whatever it is for a letter that is named"
KIND = {"description": "what is before the colon of their reason"}
STATES = ("parked", "replaying", "replayed", "discarded", "suspect")


class WhichSchema(StrictSchema):
    """Which letters."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES), metadata={"description": PARKED})
    message_id = Text(255, pattern=ANY, load_default=None, metadata={"description": "the one of this id"})
    correlation_id = Text(255, pattern=ANY, load_default=None, metadata={"description": "such as an order's id"})
    limit = WholeText(1, MOST, load_default=50)
    kind = Text(1000, pattern=ANY, load_default=None, metadata=KIND)
    type = Text(255, pattern=ANY, load_default=None)


class ReplaySchema(StrictSchema):
    """Which letters to work again: these, or with null all that are parked, of this kind and type if they are given."""

    message_ids = fields.List(Text(255, pattern=ANY), required=True, allow_none=True, validate=validate.Length(1, MOST))
    kind = Text(1000, pattern=ANY, load_default=None, metadata=KIND)
    type = Text(255, pattern=ANY, load_default=None)


class DiscardSchema(ReplaySchema):
    """Which letters to give up: these, or with null all that are parked of this kind or type, which must be given."""

    @validates_schema(skip_on_field_errors=True)
    def not_simply_all(self, given: dict[str, Any], **_: Any) -> None:
        if given["message_ids"] is None and given["kind"] is None and given["type"] is None:
            raise ValidationError("Is needed unless a kind or a type is given.", "message_ids")


class LetterSchema(Schema):
    """A message that could not be worked, and why. Of an oversized body there is the beginning only."""

    message_id = fields.String(required=True)
    reason = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    type = fields.String(required=True)
    version = fields.Integer(required=True)
    producer = fields.String(required=True)
    correlation_id = fields.String(required=True)
    causation_id = fields.String(required=True, allow_none=True)
    occurred_at = Moment(required=True)
    received_at = Moment(required=True)
    content_type = fields.String(required=True)
    size = fields.Integer(required=True, metadata={"description": "bytes of the whole body"})
    digest = fields.String(required=True, metadata={"description": "SHA-256 of the whole body, in hexadecimal"})
    body = fields.String(required=True, metadata={"description": "bytes that are no text are shown as \\xNN"})
    replayed_as = fields.String(required=True, allow_none=True)
    replayed_at = Moment(required=True, allow_none=True)


class NotKeptSchema(Schema):
    """Letters that were counted and not kept: beyond a number of one producer and kind of reason in an hour."""

    hour = Moment(required=True)
    producer = fields.String(required=True)
    kind = fields.String(required=True)
    not_kept = fields.Integer(required=True)


class LettersSchema(Schema):
    items = fields.List(fields.Nested(LetterSchema), required=True)
    not_kept = fields.List(fields.Nested(NotKeptSchema), required=True)


class GroupSchema(Schema):
    """How many parked letters are alike."""

    kind = fields.String(required=True, metadata=KIND)
    type = fields.String(required=True)
    count = fields.Integer(required=True)


class GroupsSchema(Schema):
    items = fields.List(fields.Nested(GroupSchema), required=True)


class ReplayedSchema(Schema):
    """The letters that it was done to; those that were named and are not parked are left out."""

    message_ids = fields.List(fields.String(), required=True)


def shown(row: RowMapping) -> dict[str, Any]:
    """A letter as people read it."""
    plain = {name: row[name] for name in LetterSchema._declared_fields if name != "body"}
    return {**plain, "body": bytes(row["body"]).decode("utf-8", "backslashreplace")}


def counted(row: RowMapping) -> dict[str, Any]:
    """How many letters were not kept, as people read it."""
    return {name: row[name] for name in NotKeptSchema._declared_fields}


def dead_letter_routes(letters: DeadLetters, database: Database, clock: Clock, notifier: Notifier) -> Routes:
    """`GET /dead-letters`, `POST /dead-letters/replay` and `/discard` of one service."""
    routes = Routes("dead-letters", "What could not be worked, and why. For operators.")

    @routes.route("/dead-letters")
    @requires("operator")
    @routes.arguments(WhichSchema, location="query")
    @routes.response(200, LettersSchema)
    def get_dead_letters(query: dict[str, Any]) -> Response:
        """What could not be worked? The oldest first. And how much was not even kept, the latest hour first."""
        with database.reading() as connection:
            if message_id := query["message_id"]:
                letter = letters.get(connection, message_id)
                found: Sequence[RowMapping] = [letter] if letter and query["state"] in (None, letter["state"]) else []
            else:
                like = Like(query["kind"], query["type"])
                found = letters.find(
                    connection,
                    state=query["state"] or "parked",
                    like=like,
                    correlation_id=query["correlation_id"],
                    most=query["limit"],
                )
            beyond = letters.ceilings.beyond(connection, MOST)
        return reply({"items": [shown(row) for row in found], "not_kept": [counted(row) for row in beyond]})

    @routes.route("/dead-letters/groups")
    @requires("operator")
    @routes.response(200, GroupsSchema)
    def get_dead_letter_groups() -> Response:
        """How many are parked, by what they have in common?"""
        with database.reading() as connection:
            groups = letters.groups(connection)
        items = [{"kind": kind, "type": type_, "count": count} for (kind, type_), count in sorted(groups.items())]
        return reply({"items": items})

    @routes.route("/dead-letters/replay", methods=["POST"])
    @requires("operator")
    @routes.arguments(ReplaySchema, example={"message_ids": None})
    @routes.response(202, ReplayedSchema)
    def replay_dead_letters(body: dict[str, Any]) -> Response:
        """Have letters worked again by the service's workers, each under a new message id."""
        with database.transaction() as connection:
            now, like = clock.now(connection), Like(body["kind"], body["type"])
            asked = letters.replay(connection, body["message_ids"], now=now, new_id=uuid7, like=like)
        notifier.notify()
        return reply({"message_ids": asked}, 202)

    @routes.route("/dead-letters/discard", methods=["POST"])
    @requires("operator")
    @routes.arguments(DiscardSchema, example={"message_ids": ["01900000-0000-7000-8000-000000000001"]})
    @routes.response(200, ReplayedSchema)
    def discard_dead_letters(body: dict[str, Any]) -> Response:
        """Give letters up. They are kept, and are no longer told of by the books."""
        with database.transaction() as connection:
            gone = letters.discard(connection, body["message_ids"], Like(body["kind"], body["type"]))
        log.warning("%s discards dead letters %s", current().id, ", ".join(gone))
        return reply({"message_ids": gone})

    return routes
