"""What each database role may do with a service's tables: the owner migrates, the others get no more than they need."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, MetaData, Table

# Said of a table in its `info`:
APPEND_ONLY = {"append_only": True}  # a ledger or a history: nobody changes or deletes its rows
PRUNED = {"pruned": True}  # the worker deletes old rows
WEB_WRITES = {"web_writes": True}  # a participant's API writes it, too


class Role(StrEnum):
    """Who connects to a service's database, besides the owner of its tables."""

    APPLICATION = "application"  # the worker, and the Order API
    WEB = "web"  # a participant's API: it reads, and writes only what operators set
    AUDITOR = "auditor"  # reads everything, writes nothing


def privileges(table: Table, role: Role) -> tuple[str, ...]:
    """What the role may do with the table, as GRANT says it. Locking a row needs UPDATE, too."""
    if role is Role.AUDITOR or (role is Role.WEB and not table.info.get("web_writes")):
        return ("SELECT",)
    if table.info.get("append_only"):
        return ("SELECT", "INSERT")
    delete = ("DELETE",) if table.info.get("pruned") and role is Role.APPLICATION else ()
    return ("SELECT", "INSERT", "UPDATE", *delete)


def grants(metadata: MetaData, roles: Mapping[str, str], quote: Any) -> Iterator[str]:
    """The statements that leave each of these roles, by kind, with exactly its privileges on these tables."""
    for kind, name in roles.items():
        role = quote(name)
        yield f"GRANT USAGE ON SCHEMA public TO {role}"
        yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
        for table in metadata.sorted_tables:
            yield f"GRANT {', '.join(privileges(table, Role(kind)))} ON {quote(table.name)} TO {role}"


def grant(connection: Connection, metadata: MetaData, roles: Mapping[str, str]) -> None:
    """Grant in the transaction of a migration, so that no role ever sees a table that it may not use. PostgreSQL only;
    a role that does not exist fails the migration."""
    quote = connection.dialect.identifier_preparer.quote
    for statement in grants(metadata, roles, quote):
        connection.exec_driver_sql(statement)
