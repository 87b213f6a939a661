"""How much one caller may ask for."""

from shared.http.rates import MOST_KNOWN, Rate, Share


class Watched:
    """A monotonic clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_what_follows_waits_for_its_turn() -> None:
    """Two a second, four at once; the wait is told in whole seconds, and whoever waited passes."""
    clock = Watched()
    rate = Rate(2, 4, clock)
    assert [rate.take("alice") for _ in range(6)] == [0, 0, 0, 0, 1, 1]
    clock.now += 0.5
    assert [rate.take("alice") for _ in range(2)] == [0, 1]


def test_a_slow_rate_tells_how_long() -> None:
    """One in ten seconds."""
    clock = Watched()
    rate = Rate(0.1, 1, clock)
    assert rate.take("alice") == 0
    clock.now += 2.5
    assert rate.take("alice") == 8


def test_callers_do_not_share_a_rate() -> None:
    """Whatever alice does."""
    rate = Rate(1, 1, Watched())
    assert rate.take("alice") == 0
    assert rate.take("alice") == 1
    assert rate.take("bob") == 0


def test_no_rate_limits_nothing() -> None:
    """0 switches it off."""
    rate = Rate(0, 0, Watched())
    assert {rate.take("alice") for _ in range(1000)} == {0}


def test_memory_is_bounded_however_many_callers_there_are() -> None:
    """Whoever was silent for longest is forgotten."""
    rate = Rate(1, 1, Watched())
    for number in range(MOST_KNOWN + 1):
        assert rate.take(f"stranger-{number}") == 0
    assert rate.take(f"stranger-{MOST_KNOWN}") == 1
    assert rate.take("stranger-0") == 0


def test_a_share_is_given_back() -> None:
    """Two places for each; who gives one back may take one."""
    share = Share(2)
    assert [share.take("alice") for _ in range(3)] == [True, True, False]
    assert share.take("bob")
    share.give_back("alice")
    assert [share.take("alice") for _ in range(2)] == [True, False]
