"""The published language as an AsyncAPI 3 document: who says what through which exchange, and what is in it."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import version as installed
from importlib.resources import files
from typing import Any

import msgspec

from shared import contracts
from shared.contracts import Event
from shared.messaging.cloudevents import BATCH, EVENT, schema_of, source_of
from shared.messaging.envelope import CONTENT_TYPE, versions
from shared.messaging.topology import exchange_of

EXAMPLES = files("shared") / "examples"
BINDING = "0.3.0"  # of AsyncAPI's description of AMQP 0-9-1
EVENTS: Mapping[str, type[Event]] = {
    each.type: each
    for each in sorted(vars(contracts).values(), key=str)
    if isinstance(each, type) and issubclass(each, Event) and hasattr(each, "type")
}


def document(handled: Mapping[str, Collection[type[Any]]]) -> dict[str, Any]:
    """What these services send and receive, given which messages each of them handles."""
    sends = [(name, each) for name in handled for each in EVENTS.values() if each.producer == name]
    receives = [(name, each) for name, messages in handled.items() for each in _sorted(messages)]
    spoken = _sorted({each for _, each in (*sends, *receives)})
    every = [each for message in spoken for each in versions(message)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of order fulfillment",
            "version": installed("order-fulfillment"),
            "description": "Each service publishes to an exchange of its own what it asks of others, or what it did. "
            "An event is a CloudEvent 1.0; several of one type may come in one message, as a batch.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": EVENT,
        "channels": {message.type: _channel(message) for message in spoken},
        "operations": {
            **{f"{name}.sends.{each.type}": _operation("send", name, each) for name, each in sends},
            **{f"{name}.receives.{each.type}": _operation("receive", name, each) for name, each in receives},
        },
        "components": {
            "messages": {
                name: message for each in every for name, message in ((_name(each), _one(each)), _several(each))
            },
            "schemas": {"CloudEvent": ATTRIBUTES, **{_name(each): data_schema(each) for each in every}},
        },
    }


@cache
def example(type_: str, version: int) -> dict[str, Any]:
    """A message of this event as it is on the wire, with its exchange and AMQP properties."""
    read: dict[str, Any] = msgspec.json.decode((EXAMPLES / f"{type_}.v{version}.json").read_bytes())
    return read


def data_schema(message: type[Event]) -> dict[str, Any]:
    """The JSON Schema of an event's data, complete in itself."""
    (schema,), parts = msgspec.json.schema_components([message], ref_template="{name}")
    whole = _inlined(parts[schema["$ref"]], parts)
    return {"$id": schema_of(message.type, message.version), **whole, "title": message.__name__}


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    """With what it refers to in its place: a reference would be looked for beside the schema's own $id. Patterns end as
    they do in JSON Schema."""
    match schema:
        case {"$ref": name, **others}:
            return _inlined({**parts[name], **others}, parts)
        case {"pattern": pattern, **others}:
            return {"pattern": pattern.replace(r"\Z", "$"), **_inlined(others, parts)}
        case dict():
            return {key: _inlined(value, parts) for key, value in schema.items()}
        case list():
            return [_inlined(each, parts) for each in schema]
    return schema


def _sorted(messages: Iterable[type[Any]]) -> list[type[Any]]:
    return sorted(messages, key=lambda each: str(each.type))


def _summary(message: type[Any]) -> str:
    return (message.__doc__ or "").partition("\n")[0]


def _name(message: type[Any]) -> str:
    return f"{message.type}.v{message.version}"


def _channel(message: type[Any]) -> dict[str, Any]:
    exchange = {"name": exchange_of(message.producer), "type": "topic", "durable": True, "autoDelete": False}
    names = [name for each in versions(message) for name in (_name(each), _several(each)[0])]
    return {
        "address": message.type,
        "description": message.__doc__,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": BINDING}},
    }


def _operation(action: str, service: str, message: type[Any]) -> dict[str, Any]:
    """A service says its newest version only, and hears all that are still read."""
    said = [message] if action == "send" else versions(message)
    names = [name for each in said for name in (_name(each), _several(each)[0])]
    details = {"deliveryMode": 2, "mandatory": True, "timestamp": True} if action == "send" else {"ack": True}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{message.type}"},
        "summary": _summary(message),
        "tags": [{"name": service}],
        "messages": [{"$ref": f"#/channels/{message.type}/messages/{name}"} for name in names],
        "bindings": {"amqp": {**details, "bindingVersion": BINDING}},
    }


def _one(message: type[Any]) -> dict[str, Any]:
    event = example(message.type, message.version)["body"]
    return {
        "name": message.type,
        "title": message.__name__,
        "summary": _summary(message),
        "contentType": EVENT,
        "correlationId": {"description": "The order.", "location": "$message.payload#/subject"},
        "bindings": {"amqp": {"messageType": message.type, "bindingVersion": BINDING}},
        "payload": _payload(message),
        "examples": [{"name": _name(message), "payload": event}],
    }


def _several(message: type[Any]) -> tuple[str, dict[str, Any]]:
    name = f"{_name(message)}.batch"
    return name, {
        "name": name,
        "title": f"{message.__name__}, several",
        "summary": "Up to fifty of them in one message.",
        "contentType": BATCH,
        "bindings": {"amqp": {"messageType": message.type, "bindingVersion": BINDING}},
        "payload": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": f"#/components/messages/{_name(message)}/payload"},
        },
        "examples": [{"name": name, "payload": [example(message.type, message.version)["body"]]}],
    }


def _payload(message: type[Any]) -> dict[str, Any]:
    return {
        "allOf": [
            {"$ref": "#/components/schemas/CloudEvent"},
            {
                "type": "object",
                "properties": {
                    "source": {"const": source_of(message.producer)},
                    "type": {"const": message.type},
                    "dataschema": {"const": schema_of(message.type, message.version)},
                    "data": {"$ref": f"#/components/schemas/{_name(message)}"},
                },
            },
        ]
    }


ATTRIBUTES: Mapping[str, Any] = {
    "type": "object",
    "title": "CloudEvent",
    "description": "A CloudEvent 1.0 in the JSON format. Extensions and fields that are not known are to be ignored.",
    "required": ["specversion", "id", "source", "type", "subject", "dataschema", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid", "description": "With the source, which event this is."},
        "source": {"type": "string", "format": "uri-reference", "description": "The service."},
        "type": {"type": "string", "description": "What happened; the routing key, too."},
        "time": {"type": "string", "format": "date-time", "description": "When it happened."},
        "subject": {"type": "string", "format": "uuid", "description": "The order."},
        "datacontenttype": {"const": CONTENT_TYPE},
        "dataschema": {"type": "string", "format": "uri", "description": "The `$id` of the schema of the data."},
        "correlationid": {"type": "string", "format": "uuid", "description": "The order, once more."},
        "causationid": {
            "type": "string",
            "format": "uuid",
            "description": "The id of the event that this one answers.",
        },
        "traceparent": {"type": "string", "description": "W3C trace context."},
        "data": {"type": "object", "description": "What there is to say."},
    },
}
