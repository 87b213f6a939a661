"""An example for each answer and problem of an OpenAPI document, made from its schemas and from examples of fields."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from shared.http.problems import KINDS, MEDIA_TYPE, document

AT = "2026-11-28T12:00:00Z"
ID = "0192f3a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"
OF_FORMATS = {"date-time": AT, "uuid": ID}
OF_TYPES = {"string": "text", "integer": 0, "number": 0.0, "boolean": False}
OURS = {  # of the calls that every service has
    "Letter.message_id": ID,
    "Letter.reason": "unsupported_version: payment.declined version 2, 1 can be read",
    "Letter.type": "payment.declined",
    "Letter.version": 2,
    "Letter.producer": "payment",
    "Letter.correlation_id": ID,
    "Letter.content_type": "application/json",
    "Letter.size": 2,
    "Letter.digest": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "Letter.body": "{}",
    "NotKept.producer": "payment",
    "NotKept.kind": "unsupported_version",
    "NotKept.not_kept": 40,
    "Group.kind": "unsupported_version",
    "Group.type": "payment.declined",
    "Group.count": 1000,
    "message_ids": [ID],
    "Shown.latency_ms": 300,
    "Shown.timeout_ms": 2000,
}

Named = Mapping[str, Any]  # examples of fields, by `Schema.field` or by the field's name alone
Schema = Mapping[str, Any]


def add_examples(spec: dict[str, Any], fields: Named) -> None:
    """Put them in, and refuse nothing: a field without an example shows what its type allows."""
    maker = _Maker(spec["components"].get("schemas", {}), {**OURS, **fields})
    for path in spec["paths"].values():
        for call in path.values():
            for response in call["responses"].values() if isinstance(call, dict) else ():
                content = response.get("content", {}).get("application/json", {})
                if "schema" in content:
                    content["example"] = maker.example(content["schema"], "")
    for name, response in spec["components"].get("responses", {}).items():
        if name in HTTPStatus.__members__:
            response["content"][MEDIA_TYPE]["examples"] = _problems(HTTPStatus[name])


class _Maker:
    def __init__(self, schemas: Mapping[str, Schema], fields: Named) -> None:
        self.schemas, self.fields = schemas, fields

    def example(self, schema: Schema, name: str) -> Any:
        """Something that satisfies the schema, which is called so in the document, or not at all."""
        match schema:
            case {"$ref": reference}:
                name = str(reference).rpartition("/")[2]
                return self.example(self.schemas[name], name)
            case {"properties": properties}:
                return {field: self._field(name, field, each) for field, each in properties.items()}
            case {"type": ["null", *_]} | {"type": [*_, "null"]} | {"enum": [*_, None]}:
                return None
            case {"enum": [first, *_]}:
                return first
            case {"items": item}:
                return [self.example(item, "")]
            case {"format": kind} if kind in OF_FORMATS:
                return OF_FORMATS[kind]
        return OF_TYPES.get(schema.get("type", ""), {})

    def _field(self, name: str, field: str, schema: Schema) -> Any:
        for key in (f"{name}.{field}", field):
            if key in self.fields:
                return self.fields[key]
        return self.example(schema, "")


def _problems(status: HTTPStatus) -> dict[str, Any]:
    """One of each kind."""
    detail = status.description or status.phrase
    return {kind: {"value": document(status, detail, kind=kind, instance="/")} for kind in KINDS.get(status, ())}
