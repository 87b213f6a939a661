"""`freezer.py PROCESS…`: these processes stand still until its input ends, which it does when its parent ends, too.

Run as a file by a bare interpreter. What stands still cannot notice that those it lives from have ended.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path


def freeze(processes: list[int]) -> None:
    tell(processes, signal.SIGSTOP)
    for each in processes:
        while moves(each):
            time.sleep(0.005)
    print("frozen", flush=True)
    sys.stdin.read()
    tell(processes, signal.SIGCONT)


def tell(processes: list[int], number: signal.Signals) -> None:
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, number)


def moves(process: int) -> bool:
    """Whether it has not come to a halt yet; without Linux's /proc, it is believed to have."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX"
    return False


if __name__ == "__main__":
    freeze([int(each) for each in sys.argv[1:]])
