"""`freezer.py PROCESS…`: these processes stand still until its input ends, which it does when its parent ends, too.

Run as a file by a bare interpreter. What stands still cannot notice that those it lives from have ended.
"""

import os
import signal
import sys
from contextlib import suppress


def freeze(processes: list[int]) -> None:
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for each in processes:
            with suppress(ProcessLookupError):
                os.kill(each, number)
        if number == signal.SIGSTOP:
            print("frozen", flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    freeze([int(each) for each in sys.argv[1:]])
