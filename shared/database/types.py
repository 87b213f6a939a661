"""The column types that both databases share, and times as they are written wherever they are kept."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite.base import SQLiteTypeCompiler
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from shared.database.errors import ValueRefused

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def metadata() -> MetaData:
    """Tables of one service, with predictable constraint names."""
    return MetaData(naming_convention=NAMES)


@lru_cache(maxsize=64)  # a batch writes the same time hundreds of times
def timestamp(at: datetime) -> str:
    """An aware time as text of fixed width in UTC, so that texts sort as the times do. Raises ValueRefused for
    a naive time: it would mean another moment on another machine."""
    if at.tzinfo is None:
        raise ValueRefused(f"a naive time would be ambiguous: {at!r}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class Chars(String):
    """A text of at most so many characters, on both databases: SQLite, which takes any length, is given a CHECK."""

    inherit_cache = True


@compiles(Chars, "sqlite")
def _sqlite(type_: Chars, compiler: SQLiteTypeCompiler, type_expression: Any = None, **kw: Any) -> str:
    plain = compiler.visit_VARCHAR(type_, **kw)
    if not isinstance(type_expression, Column):
        return plain
    column = compiler.dialect.identifier_preparer.format_column(type_expression)
    return f"{plain} CHECK (length({column}) <= {type_.length})"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz on PostgreSQL, sortable ISO text on SQLite. Naive values are refused."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else String(32)
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else timestamp(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class Id(TypeDecorator[str]):
    """A UUID as its 36-character text, stored in 16 bytes where the database can."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.UUID(as_uuid=False) if dialect.name == "postgresql" else String(36))


def as_json(value: Any) -> str | None:
    """A value as JSON text; None is no value, and NULL. Raises ValueRefused for what JSON cannot say."""
    try:
        return None if value is None else msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        raise ValueRefused(str(error)) from error


class Json(TypeDecorator[Any]):
    """A JSON value: jsonb on PostgreSQL, text on SQLite. None is NULL. In `batch_rows` it is given as it is."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.JSONB(none_as_null=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else as_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" or value is None else msgspec.json.decode(value)


BigInt = BigInteger().with_variant(Integer(), "sqlite")
