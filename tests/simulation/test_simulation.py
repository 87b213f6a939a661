"""A thousand seeds, each a world of its own: every one rests with its books in order, and no defect passes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
AT_ONCE = 2


def begin(*arguments: str, hash_seed: str = "random") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def told(run: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what was printed."""
    text, _ = run.communicate()
    return run.returncode, text


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seeds", [15, pytest.param(1_000, marks=pytest.mark.slow)])
def test_many_seeds_come_to_a_good_rest(seeds: int) -> None:
    """Whatever is lost, repeated, late, struck or silent: every order ends, and money, goods and messages add up."""
    each = seeds // AT_ONCE
    runs = [begin("--seed", str(1 + each * number), "--seeds", str(each)) for number in range(AT_ONCE)]
    for code, text in map(told, runs):
        assert code == 0, text
        assert "fulfilled" in text
        assert "cancelled" in text


@pytest.mark.slow
def test_a_seed_is_always_the_same_world() -> None:
    """The same happens in the same order, to the same ids, in another process that hashes differently."""
    runs = [begin("--seed", "40", "--seeds", "10", "--digests", hash_seed=each) for each in ("1", "2")]
    (code, once), (_, again) = map(told, runs)
    assert code == 0, once
    digests = [line for line in once.splitlines() if line.startswith("digest")]
    assert len(digests) == 10
    assert digests == [line for line in again.splitlines() if line.startswith("digest")]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [each.name for each in MUTANTS])
def test_a_defect_is_found(mutant: str) -> None:
    """Some seed among the first 200 finds it; those that only lose messages are found although everybody asks again."""
    loses = mutant in ("acknowledged before the commit", "published before the confirm")
    seed, reason = 0, ""
    while not reason or (loses and "never reached" not in reason):
        code, text = told(begin("--seed", str(seed + 1), "--seeds", str(200 - seed), "--mutant", mutant))
        assert code == 1, text
        assert "Traceback" not in text, text
        reason = text.splitlines()[-2]
        seed = int(reason.split(":")[0].removeprefix("seed "))
