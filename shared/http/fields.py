"""What requests may contain: strict schemas, bounded fields, pages, and a JSON parser that refuses what it should."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from flask import Request
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser

from shared.http.bounds import BODY_LIMIT
from shared.http.problems import problem, wrong_parameter

SKU = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

# What nobody sees: spaces, zero-width and other invisible characters, fillers, selectors, private and unassigned marks.
_UNSEEN = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    r"\u2800\u3000\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"  # and what reverses the direction of writing
LINE = rf"^[^{_CONTROLS}]*[^{_UNSEEN}][^{_CONTROLS}]*$"
LINES = LINE.replace(r"\x00-\x1f", r"\x00-\x08\x0b\x0c\x0e-\x1f")  # tabs and ends of lines, too


class StrictSchema(Schema):
    """Unknown fields are refused."""

    class Meta:
        unknown = RAISE


class Text(fields.String):
    """A string of `least` to `most` characters without lone surrogates, and all of it matching `pattern`.

    That is something to be seen, without control characters, unless said otherwise; nothing at all when `least` is 0.
    """

    def __init__(self, most: int, *, least: int = 1, pattern: str = LINE, **kwargs: Any) -> None:
        pattern = pattern if least else f"^$|{pattern}"
        metadata = {"pattern": pattern, **kwargs.pop("metadata", {})}
        super().__init__(validate=validate.Length(least, most), metadata=metadata, **kwargs)
        self._pattern = re.compile(pattern)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not text.isascii() and text.encode("utf-8", "ignore").decode() != text:
            raise ValidationError("Has a lone surrogate.")
        if not self._pattern.fullmatch(text):
            raise ValidationError(self._complaint(text))
        return text

    def _complaint(self, text: str) -> str:
        if self._pattern.pattern not in (LINE, LINES, f"^$|{LINE}", f"^$|{LINES}"):
            return "Has a form that is not allowed."
        return "Has nothing to be seen." if re.fullmatch(f"[{_UNSEEN}]*", text) else "Has a control character."


class Whole(fields.Integer):
    """A JSON integer from `least` to `most`: 29.0 is one, "29", true and 2.5 are not. `otherwise` says so."""

    def __init__(self, least: int, most: int, *, otherwise: str | None = None, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(least, most, error=otherwise), **kwargs)

    def _validated(self, value: Any) -> Any:
        if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class WholeText(fields.Integer):
    """A whole number from `least` to `most` in a query string."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(least, most), **kwargs)

    def _validated(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,15}", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Share(fields.Float):
    """A JSON number from 0 to 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(0, 1), **kwargs)

    def _validated(self, value: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Truth(fields.Boolean):
    """JSON's true or false, and nothing that other languages take for it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Moment(fields.AwareDateTime):
    """A moment in RFC 3339, written in UTC with a Z."""

    _RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not self._RFC3339.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type="RFC 3339 date-time")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.make_error("invalid", input=value, obj_type="RFC 3339 date-time") from None


class Cursor(fields.String):
    """Where a list goes on: opaque outside, the last item's key inside, which must match `pattern`."""

    def __init__(self, pattern: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pattern = re.compile(pattern)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            key = base64.urlsafe_b64decode(f"{value}{'=' * (-len(value) % 4)}").decode("ascii")
        except (binascii.Error, ValueError, TypeError):
            key = ""
        if not self._pattern.fullmatch(key) or cursor(key) != value:
            raise ValidationError("Is not a cursor that this list gave out.")
        return key


def cursor(key: str) -> str:
    """The opaque form of a list's last key."""
    return base64.urlsafe_b64encode(key.encode("ascii")).decode().rstrip("=")


class IdempotencyKey(fields.String):
    """1 to 128 printable ASCII characters; quoted as RFC 8941 has it, or bare."""

    _PATTERN = re.compile(r'"[!#-~]{1,128}"|[!#-~]{1,128}')

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not self._PATTERN.fullmatch(value):
            raise ValidationError("Must be 1 to 128 printable ASCII characters, without quotation marks inside.")
        return str(value).strip('"')


class IdempotencyHeader(Schema):
    """The header that makes a POST safe to repeat."""

    class Meta:
        unknown = EXCLUDE

    key = IdempotencyKey(
        required=True,
        data_key="Idempotency-Key",
        metadata={"description": "new for each new deed, such as a UUID", "pattern": "^[!#-~]{1,128}$"},
    )


class StrictParser(FlaskParser):
    """Reads arguments: 415 for another content type, 400 for what is no JSON or for a bad header, else 422."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE, "headers": EXCLUDE}  # noqa: RUF012 - as webargs has it

    def load_json(self, req: Request, schema: Schema) -> Any:
        if getattr(schema, "body_is_optional", False) and not req.get_data():
            return {}
        if not req.is_json:
            problem(415, "The body must be JSON, and Content-Type say application/json.")
        body = req.get_data()  # kept: the view may be called again
        if len(body) > BODY_LIMIT:
            problem(413, f"A body may have at most {BODY_LIMIT} bytes.")
        try:
            return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
            problem(400, f"The body is not valid JSON: {reason}.")

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        for name, given in req.args.lists():
            if len(given) > 1:
                wrong_parameter(name[:100], "Is given more than once.")
        return super().load_querystring(req, schema)

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["error_status_code"] = 400 if "headers" in error.messages_dict else 422
        super().handle_error(error, *args, **kwargs)
        raise AssertionError("webargs ended the request")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a field is given twice")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
