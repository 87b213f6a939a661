"""Many ask at the same time, one asks for all."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from order_service.coalescing import Coalescing
from shared.database import one_request
from tests.crowd import PATIENCE, wait_for


class Oracle:
    """Answers in capitals, when it is let."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.entered, self.open = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, wishes: Sequence[str]) -> Sequence[str]:
        self.asked.append(wishes)
        self.entered.release()
        assert self.open.acquire(timeout=PATIENCE)
        if "nonsense" in wishes:
            raise ValueError(wishes)
        return [each.upper() for each in wishes]


def test_what_gathers_is_asked_together(crowd: ThreadPoolExecutor) -> None:
    """While one question is being asked forty come, and one asking answers them all, each its own."""
    oracle = Oracle()
    coalesced = Coalescing(oracle, timeout=PATIENCE)
    first = crowd.submit(coalesced, "first")
    assert oracle.entered.acquire(timeout=PATIENCE)
    others = [crowd.submit(coalesced, f"lamp {number}") for number in range(40)]
    wait_for(lambda: len(coalesced._gathered) == 40)
    oracle.open.release(2)
    assert first.result(PATIENCE) == "FIRST"
    assert [each.result(PATIENCE) for each in others] == [f"LAMP {number}" for number in range(40)]
    assert [len(each) for each in oracle.asked] == [1, 40]


def test_a_group_has_a_limit(crowd: ThreadPoolExecutor) -> None:
    """More than the largest group is asked for in several."""
    oracle = Oracle()
    coalesced = Coalescing(oracle, largest=10, timeout=PATIENCE)
    calls = [crowd.submit(coalesced, "first")]
    assert oracle.entered.acquire(timeout=PATIENCE)
    calls += [crowd.submit(coalesced, f"lamp {number}") for number in range(25)]
    wait_for(lambda: len(coalesced._gathered) == 25)
    oracle.open.release(10)
    assert all(each.result(PATIENCE) for each in calls)
    assert [len(each) for each in oracle.asked] == [1, 10, 10, 5]


def test_an_error_is_told_to_those_it_concerns(crowd: ThreadPoolExecutor) -> None:
    """All of the group raise it, and the next question is asked as if nothing had happened."""
    oracle = Oracle()
    coalesced = Coalescing(oracle, timeout=PATIENCE)
    first = crowd.submit(coalesced, "first")
    assert oracle.entered.acquire(timeout=PATIENCE)
    group = [crowd.submit(coalesced, wish) for wish in ("nonsense", "sense")]
    wait_for(lambda: len(coalesced._gathered) == 2)
    oracle.open.release(3)
    assert first.result(PATIENCE) == "FIRST"
    for each in group:
        with pytest.raises(ValueError, match="nonsense"):
            each.result(PATIENCE)
    assert coalesced("later") == "LATER"


def test_an_asking_that_hangs_holds_up_nobody_else_for_long(crowd: ThreadPoolExecutor) -> None:
    """Who has waited too long asks for itself, also one of the hanging group; and all goes on when it is over."""
    oracle = Oracle()
    coalesced = Coalescing(oracle, timeout=0.02)
    hanging = crowd.submit(coalesced, "first")
    assert oracle.entered.acquire(timeout=PATIENCE)
    others = [crowd.submit(coalesced, wish) for wish in ("second", "third")]
    wait_for(lambda: len(oracle.asked) == 3)
    assert coalesced._gathered == []
    oracle.open.release(4)
    assert [each.result(PATIENCE) for each in (hanging, *others)] == ["FIRST", "SECOND", "THIRD"]
    assert coalesced("later") == "LATER"


def test_who_waits_for_another_spends_the_time_of_its_request(crowd: ThreadPoolExecutor) -> None:
    """Whose request has no time left does not wait for somebody else's asking, whatever the limit of that."""
    oracle = Oracle()
    coalesced = Coalescing(oracle, timeout=PATIENCE)

    def hurried(wish: str) -> str:
        with one_request(0.0):
            return coalesced(wish)

    hanging = crowd.submit(coalesced, "first")
    assert oracle.entered.acquire(timeout=PATIENCE)
    second = crowd.submit(hurried, "second")
    wait_for(lambda: len(oracle.asked) == 2)
    oracle.open.release(2)
    assert [each.result(PATIENCE) for each in (hanging, second)] == ["FIRST", "SECOND"]


def test_many_at_once_are_all_answered(crowd: ThreadPoolExecutor) -> None:
    """Whoever comes, leads and leaves when: each of thousands of calls gets its own answer."""
    coalesced = Coalescing(lambda wishes: [each * 2 for each in wishes], largest=3, timeout=0.0001)
    assert list(crowd.map(coalesced, range(5_000))) == [number * 2 for number in range(5_000)]
