"""Tokens: how they are written down, and who they are."""

import hashlib

import pytest

from shared.api_keys import Keys, Principal, Role

ALICE = Principal(role=Role.CUSTOMER, name="alice")
OPERATOR = Principal(role=Role.OPERATOR, name="operator")


def test_a_token_stands_for_somebody() -> None:
    """Plain tokens name a role and, for customers, a name."""
    keys = Keys.parse("opensesame:operator, wonderland:customer:alice,")
    assert keys.find("opensesame") == OPERATOR
    assert keys.find("wonderland") == ALICE
    assert len(keys) == 2


def test_an_unknown_token_stands_for_nobody() -> None:
    """Neither a token's beginning nor its hash is a token."""
    keys = Keys.parse("opensesame:operator")
    stolen = hashlib.sha256(b"opensesame").hexdigest()
    assert [keys.find(token) for token in ("", "opensesam", "opensesame ", stolen, "\udcff")] == [None] * 5


def test_a_token_may_be_given_as_its_hash() -> None:
    """Who reads the configuration need not learn the token."""
    digest = hashlib.sha256(b"wonderland").hexdigest()
    assert Keys.parse(f"sha256:{digest}:customer:alice").find("wonderland") == ALICE
    assert Keys.parse(f"sha256:{digest.upper()}:operator").find("wonderland") == OPERATOR


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
