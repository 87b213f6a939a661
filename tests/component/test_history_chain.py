"""Every line of a history covers the line before, on both databases, from the transaction that writes it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, select, update

from order_service.chain import COVERED, link
from order_service.cli import fulfillment
from order_service.cli.system.audit.history import chained
from order_service.cli.system.audit.reading import rows
from order_service.cli.system.audit.sealing import Broken, Seal, take, verify
from order_service.tables import saga_history, sagas
from tests.component.corruptions import rechain
from tests.component.orders import NOON, OPAL, Shop, authorized_and_reserved, booked, captured, wanted

KEY = "a key of more than thirty-two characters"
SAID = 'too "late"\\ – \x7f Ω 🎈\n\tand\x01'


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def told(shop: Shop) -> list[dict[str, object]]:
    """Every line of all histories."""
    with shop.database.reading() as connection:
        lines = select(saga_history).order_by(saga_history.c.order_id, saga_history.c.seq)
        return [dict(each) for each in rows(connection, lines)]


def last_hash(shop: Shop, order: str) -> str:
    with shop.database.reading() as connection:
        return str(connection.execute(select(sagas.c.history_hash).where(sagas.c.order_id == order)).scalar_one())


def unguard(connection: Connection) -> None:
    """What only the owner of the tables can do: let histories be changed."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE saga_history DISABLE TRIGGER USER")
    else:
        for change in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(f"DROP TRIGGER append_only_{change}")


def rewrite(shop: Shop, seq: int) -> None:
    """Change a line of every history, by the owner of the tables, and write the chains anew."""
    with shop.database.transaction() as connection:
        unguard(connection)
        connection.execute(update(saga_history).where(saga_history.c.seq == seq).values(detail="nothing of the kind"))
        rechain(connection)


def test_a_hash_is_what_anybody_can_calculate() -> None:
    """SHA-256 over the hash before and the columns of the line, as one JSON array in UTF-8 without spaces."""
    entry = dict.fromkeys(COVERED, "x") | {"seq": 3, "detail": SAID, "message_id": None, "step": None}
    text = json.dumps(["0123", *entry.values()], ensure_ascii=False, separators=(",", ":"))
    assert link("0123", entry) == hashlib.sha256(text.encode()).hexdigest()


def test_every_line_follows_from_the_line_before(shop: Shop) -> None:
    """What is read back makes the hashes that were written, whoever spoke, in one transaction or in several."""
    order, cancelled = shop.placed(wanted(), wanted("second", customer="bob"))
    shop.deliver(*authorized_and_reserved(order))
    shop.commands.cancel(cancelled, OPAL, "twice, „sic“ – \U0001f388")
    shop.deliver(*booked(order), *captured(order))
    shop.clock.move(minutes=2)
    shop.tick()
    lines = told(shop)
    for each in (order, cancelled):
        mine = [line for line in lines if line["order_id"] == each]
        assert len(mine) == shop.find(each).version > 2
        assert len({line["hash"] for line in mine}) == len(mine)
        assert chained(mine) == (last_hash(shop, each), None)


def test_what_was_written_before_there_were_chains_is_in_none(shop: Shop) -> None:
    """A process of before writes no hash; the next line follows from the last one that has one."""
    (order,) = shop.placed()
    first = last_hash(shop, order)
    shop.deliver(*authorized_and_reserved(order))
    with shop.database.transaction() as connection:
        unguard(connection)
        connection.execute(update(saga_history).where(saga_history.c.seq > 1).values(hash=""))
        connection.execute(update(sagas).values(history_hash=first))
    shop.deliver(*booked(order))
    lines = told(shop)
    assert [bool(line["hash"]) for line in lines] == [True, False, False, True]
    assert chained(lines) == (last_hash(shop, order), None)
    assert chained([{**line, "seq": line["seq"] + 1} for line in lines])[1] is not None  # type: ignore[operator]


def test_a_seal_finds_a_chain_that_was_written_anew(shop: Shop) -> None:
    """What is added later changes nothing of what was sealed; a line that is changed does, with all hashes after it."""
    order, other = shop.placed(wanted(), wanted("second", customer="bob"))
    shop.deliver(*authorized_and_reserved(order))
    seal = take(shop.database, NOON, page=1)
    assert (seal.orders, seal.lines, len(seal.pieces)) == (2, 4, 3)
    shop.deliver(*authorized_and_reserved(other), *booked(order))
    shop.placed(wanted("third"))
    assert verify(shop.database, seal) == []
    rewrite(shop, seq=2)
    assert chained([line for line in told(shop) if line["order_id"] == order])[1] is None
    (wrong,) = verify(shop.database, seal)
    assert wrong.endswith(f"up to {min(order, other)}: a history was written anew") == (order < other)
    assert "a history was written anew" in wrong


def test_a_seal_finds_what_is_gone(shop: Shop) -> None:
    """An order whose history was deleted whole is missed."""
    order, _ = shop.placed(wanted(), wanted("second", customer="bob"))
    seal = take(shop.database, NOON)
    with shop.database.transaction() as connection:
        unguard(connection)
        connection.execute(saga_history.delete().where(saga_history.c.order_id == order))
    (wrong,) = verify(shop.database, seal)
    assert wrong.endswith("1 lines of 1 orders, and 2 of 2 were sealed")


def test_a_history_that_does_not_hold_is_not_sealed(shop: Shop) -> None:
    """A seal never says that something was right which was not."""
    (order,) = shop.placed()
    with shop.database.transaction() as connection:
        unguard(connection)
        connection.execute(update(saga_history).values(actor="customer:eve"))
    with pytest.raises(Broken, match=f"order {order}: line 1 of its history does not follow"):
        take(shop.database, NOON)


def test_a_seal_is_signed(shop: Shop) -> None:
    """Whoever changes a seal must know the key."""
    shop.placed()
    seal = take(shop.database, NOON).signed(KEY)
    assert seal.is_signed(KEY)
    assert not seal.is_signed("another key of more than thirty-two characters")
    assert not Seal(**{name: getattr(seal, name) for name in seal.__struct_fields__} | {"lines": 2}).is_signed(KEY)


def test_the_command_seals_and_verifies(shop: Shop, tmp_path: Path) -> None:
    """Into a new file, with the key from a file; exit code 1 for a rewritten history, a changed seal, another key."""
    (order,) = shop.placed()
    (tmp_path / "key").write_text(KEY)
    file, environ = tmp_path / "seal.json", {"SEAL_KEY": "", "SEAL_KEY_FILE": str(tmp_path / "key")}

    def run(*arguments: str, **other: str) -> tuple[int, str]:
        asked = ["seal", "--database", shop.database.url, *arguments]
        done = CliRunner().invoke(fulfillment, asked, env=environ | other)
        return done.exit_code, done.output + str(done.exception)

    code, said = run("--output", str(file))
    assert (code, said.startswith("sealed 1 lines of 1 orders: ")) == (0, True), said
    assert run("--output", str(file))[0] == 1  # never over another one
    assert run("--verify", str(file))[0] == 0
    assert run("--verify", str(file), SEAL_KEY=KEY[::-1], SEAL_KEY_FILE="")[0] == 1
    assert run("--verify", str(file), SEAL_KEY="short", SEAL_KEY_FILE="")[0] == 1
    assert run()[0] == 2
    rewrite(shop, seq=1)
    code, said = run("--verify", str(file))
    assert (code, "not as it was sealed" in said) == (1, True), said
    file.write_text(file.read_text().replace('"lines": 1', '"lines": 3'))
    assert "was changed, or signed with another key" in run("--verify", str(file))[1]
    assert order
