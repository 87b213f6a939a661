"""Tokens: how they are written down, and who they are."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from order_service.cli.system.keys import key
from order_service.cli.system.secrets import secrets
from shared.api_keys import Keys, Principal, Role, hashed_entry, new_token
from shared.clock import today
from shared.config import load

ALICE = Principal(role=Role.CUSTOMER, name="alice")
OPERATOR = Principal(role=Role.OPERATOR, name="operator")


def test_a_token_stands_for_somebody() -> None:
    """Plain tokens name a role and, for customers, a name."""
    keys = Keys.parse("opensesame:operator, wonderland:customer:alice,")
    assert keys.find("opensesame", today()) == OPERATOR
    assert keys.find("wonderland", today()) == ALICE
    assert len(keys) == 2


def test_an_unknown_token_stands_for_nobody() -> None:
    """Neither a token's beginning nor its hash is a token."""
    keys = Keys.parse("opensesame:operator")
    stolen = hashlib.sha256(b"opensesame").hexdigest()
    assert [keys.find(token, today()) for token in ("", "opensesam", "opensesame ", stolen, "\udcff")] == [None] * 5


def test_a_token_may_be_given_as_its_hash() -> None:
    """Who reads the configuration need not learn the token."""
    digest = hashlib.sha256(b"wonderland").hexdigest()
    assert Keys.parse(f"sha256:{digest}:customer:alice").find("wonderland", today()) == ALICE
    assert Keys.parse(f"sha256:{digest.upper()}:operator").find("wonderland", today()) == OPERATOR


def test_tokens_are_not_kept() -> None:
    """What is in memory after parsing is hashes only."""
    assert "opensesame" not in repr(vars(Keys.parse("opensesame:operator")))


@pytest.mark.parametrize(
    "text",
    [
        "opensesame",
        ":operator",
        "opensesame:boss",
        "opensesame:customer",
        "opensesame:customer:",
        "opensesame:customer:alice:bob",
        "opensesame:customer:al ice",
        "open sesame:operator",
        "sha256:abc:operator",
        "sha256:operator",
        "opensesame:operator,opensesame:customer:alice",
        "opensesame:operator,swordfish:operator",
        "opensesame:operator,swordfish:operator:operator",
        "swordfish:operator:operator,opensesame:operator",
        f"opensesame:operator:olga,sha256:{hashlib.sha256(b'opensesame').hexdigest()}:operator:otto",
        "opensesame:operator:olga,opensesame:operator:olga:until=2027-01-31",
        "opensesame:operator:olga:until=soon",
        "opensesame:until=2027-01-31",
        f"opensesame:operator:{'o' * 51}",
    ],
)
def test_a_malformed_entry_is_refused_without_repeating_it(text: str) -> None:
    """The complaint counts the entries instead of quoting them."""
    with pytest.raises(ValueError, match=r"^entry [12] ") as refusal:
        Keys.parse(text)
    assert "opensesame" not in str(refusal.value)


def test_no_keys_are_falsy() -> None:
    """An API can tell that nobody could call it."""
    assert not Keys.parse("")


def test_one_caller_may_have_several_tokens() -> None:
    """So that an old one can be used until a new one is everywhere."""
    keys = Keys.parse("opensesame:operator:olga\nswordfish:operator:olga")
    assert (
        keys.find("opensesame", today())
        == keys.find("swordfish", today())
        == Principal(role=Role.OPERATOR, name="olga")
    )


def test_a_customer_named_like_an_operator_is_somebody_else() -> None:
    """Neither the identity nor the owner of orders is the same, and only the operator sees all."""
    operator, customer = Keys.parse("opensesame:operator:olga,wonderland:customer:olga")
    assert (operator.id, customer.id) == ("operator:olga", "customer:olga")
    assert (operator.customer_id, customer.customer_id) == ("operator:olga", "olga")
    assert operator.may_see("olga")
    assert not customer.may_see("operator:olga")


def test_a_token_is_good_through_its_last_day() -> None:
    """And stands for nobody afterwards."""
    day = today()
    keys = Keys.parse(f"opensesame:operator:until={day},swordfish:customer:alice:until={day - timedelta(days=1)}")
    assert keys.find("opensesame", today()) == OPERATOR
    assert keys.find("swordfish", today()) is None


def test_short_and_shipped_tokens_are_weak() -> None:
    """Also when an example is given as its hash."""
    shipped = hashed_entry("demo-operator", OPERATOR)
    assert Keys.parse(f"{shipped},fifteen-letters:customer:alice,sixteen-letters!:customer:bob").weak == [
        "operator:operator",
        "customer:alice",
    ]


def test_a_new_token_is_long_and_its_entry_does_not_tell_it() -> None:
    """The entry stands for the same caller."""
    token = new_token()
    entry = hashed_entry(token, ALICE, today())
    assert not Keys.parse(f"{token}:customer:alice").weak
    assert token not in entry
    assert Keys.parse(entry).find(token, today()) == ALICE


def test_the_command_makes_a_key_that_works() -> None:
    """The token is printed once, and the entry beside it is understood."""
    said = CliRunner().invoke(key, ["new", "--operator", "olga", "--days", "7"])
    token, entry = (line.split()[1] for line in said.output.splitlines())
    assert Keys.parse(entry).find(token, today()) == Principal(role=Role.OPERATOR, name="olga")
    assert entry.endswith(f":until={today() + timedelta(days=7)}")


@pytest.mark.parametrize("wrong", [[], ["--operator", "olga", "--customer", "olga"], ["--customer", "al ice"]])
def test_the_command_wants_one_caller(wrong: list[str]) -> None:
    """Wrong usage has exit code 2."""
    assert CliRunner().invoke(key, ["new", *wrong]).exit_code == 2


def test_a_folder_of_new_secrets_is_good_without_demo(tmp_path: Path) -> None:
    """Its keys and passwords are strong, the operator is known to every API, the console to the others; a second folder
    has others, and none is written over."""
    first, second = tmp_path / "first", tmp_path / "second"
    said = [CliRunner().invoke(secrets, [str(folder), "--operator", "olga"]) for folder in (first, second, first)]
    assert [each.exit_code for each in said] == [0, 0, 1]
    assert first.stat().st_mode & 0o777 == 0o700
    token = said[0].output.split()[-1]
    for name in ("order", "payment", "inventory", "shipping"):
        place = {"HOST": "0.0.0.0", "API_KEYS_FILE": str(first / f"{name}_api_keys")}
        server = {"DATABASE_URL": "postgresql+psycopg://x@y/z"}
        password = {"DATABASE_PASSWORD_FILE": str(first / f"{name}_owner_password")}
        keys = load(service=name, environ=place | server | password).api_keys
        assert keys.find(token, today()) == Principal(role=Role.OPERATOR, name="olga")
        console = keys.find((first / "participants_key").read_text().strip(), today())
        assert (console is None) == (name == "order")
    both = [{path.name: path.read_text() for path in folder.iterdir()} for folder in (first, second)]
    assert both[0].keys() == both[1].keys()
    assert not set(both[0].values()) & set(both[1].values())
