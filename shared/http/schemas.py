"""Schemas of answers, made from the types of what is answered, so that each field is declared once."""

from typing import Any

from marshmallow import Schema, fields
from msgspec import inspect

from shared.http.fields import Moment


def schema_of(view: type[Any]) -> type[Schema]:
    """The schema of a TypedDict whose name ends in View: all fields are there, None where the type allows it.

    `Annotated` with `msgspec.Meta` adds a description or a format. Raises TypeError for a type that it does not know.
    """
    described = inspect.type_info(view)
    if not isinstance(described, inspect.TypedDictType):
        raise TypeError(f"{view} is no TypedDict")
    return _schema(described)


def _schema(view: inspect.TypedDictType) -> type[Schema]:
    declared = list(view.cls.__annotations__)
    parts = {
        each.name: _field(each.type, {"required": each.required})
        for each in sorted(view.fields, key=lambda each: declared.index(each.name))
    }
    return type(f"{view.cls.__name__.removesuffix('View')}Schema", (Schema,), parts)


def _field(kind: inspect.Type, options: dict[str, Any]) -> fields.Field[Any]:
    match kind:
        case inspect.Metadata(inner, extra):
            return _field(inner, {**options, "metadata": extra})
        case inspect.UnionType(types):
            (some,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return _field(some, {**options, "allow_none": True})
        case inspect.EnumType(cls):
            return fields.Enum(cls, by_value=True, **options)
        case inspect.TypedDictType():
            return fields.Nested(_schema(kind), **options)
        case inspect.ListType(item_type=item):
            return fields.List(_field(item, {}), **options)
        case inspect.DateTimeType():
            return Moment(**options)
        case inspect.BoolType():
            return fields.Boolean(**options)
        case inspect.IntType():
            return fields.Integer(**options)
        case inspect.StrType():
            return fields.String(**options)
    raise TypeError(f"no schema for {kind}")
