"""Processes that stop when they are told to, and do not outlive those who started them."""

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

log = logging.getLogger("fulfillment.process")

STOPPING = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1  # Linux: prctl(2)
STEADY = 10.0  # seconds after which a process that ends is a new story
PAUSE = 1.0  # seconds before one that ended soon is started again
STOPS_WITHIN = 25.0  # seconds; supervisors kill after 30, and nobody would know why


def end_in_time() -> None:
    """Whoever was told to stop and does not come to its end says what each of its threads waits for, and ends with exit
    code 1. Nothing is lost by that, as by no other crash."""
    faulthandler.dump_traceback_later(STOPS_WITHIN, exit=True)


def stopped_by_signals(wake: Callable[[], None]) -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on; `wake` is called after that, in the main thread."""
    stop = threading.Event()

    def tell(number: int, frame: object) -> None:
        stop.set()
        wake()

    for each in STOPPING:
        signal.signal(each, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    return stop


def end_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have this process be sent a signal as soon as its parent, the process `parent`, is gone. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it had gone before
        os.kill(os.getpid(), number)


def run_several(work: Callable[[], None], number: int, *, grace: float) -> None:
    """Call `work` in so many processes, forked from this one, until SIGTERM or SIGINT; start again what ends before.

    They are sent SIGTERM then, and killed when they have not ended after `grace` seconds. When this process is killed
    they end, too. `work` must react to SIGTERM by returning.
    """
    changed = threading.Event()  # there is something to look at
    stop = stopped_by_signals(changed.set)
    signal.signal(signal.SIGCHLD, lambda number, frame: changed.set())
    running = {_fork(work): time.monotonic() for _ in range(number)}
    while not stop.is_set():
        changed.wait(5.0)
        changed.clear()
        for child in [child for child in running if _ended(child)]:
            age = time.monotonic() - running.pop(child)
            log.error("process %d ended; another one takes its place", child)
            if not stop.wait(0 if age > STEADY else PAUSE):
                running[_fork(work)] = time.monotonic()
    _end(list(running), grace)


def _end(children: list[int], grace: float) -> None:
    for child in children:
        os.kill(child, signal.SIGTERM)
    until = time.monotonic() + grace
    while (children := [child for child in children if not _ended(child)]) and time.monotonic() < until:
        time.sleep(0.05)
    for child in children:
        log.error("process %d did not end within %.0f s and is killed", child, grace)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _fork(work: Callable[[], None]) -> int:
    """The process id of a child that works; signals that come before it can react to them wait until then."""
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return child
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with(parent)
        work()
        code = 0
    except BaseException:
        log.exception("a process of several ends")
    finally:
        logging.shutdown()
        os._exit(code)  # what the parent has to end is not this process's to end


def _ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child
