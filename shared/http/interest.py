"""What the thread that receives and sends waits for.

waitress asks every connection at every turn what it waits for. Here one is asked when something has happened to it; and
all of them once a second, because their time may have come.
"""

import time
from collections import deque
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from select import POLLIN, POLLOUT
from typing import Any

from waitress import wasyncore

ALL_AGAIN = 1.0  # seconds


class Interest:
    """Of the channels in waitress's own map, by file descriptor. For one thread, but for `changed`."""

    def __init__(self, channels: dict[int, Any]) -> None:
        self._channels = channels
        self._selector = DefaultSelector()
        self._events: dict[int, int] = {}
        self._changed: deque[int] = deque()
        self._all_again = 0.0

    def changed(self, number: int) -> None:
        """Ask this one before waiting again; any thread may say so."""
        self._changed.append(number)

    def forget(self, number: int) -> None:
        """This one is about to be closed, and another may get its number."""
        if self._events.pop(number, 0):
            self._selector.unregister(number)

    def close(self) -> None:
        self._selector.close()

    def turn(self, seconds: float) -> None:
        """Wait for at most so long, and let every channel do what it waited for."""
        if (now := time.monotonic()) >= self._all_again:
            self._all_again = now + ALL_AGAIN
            self._changed.extend(self._channels)
        while self._changed:
            self._ask(self._changed.popleft())
        for key, events in self._selector.select(seconds):
            if self._channels.get(key.fd) is key.data:  # what came before may have closed it
                flags = (POLLIN if events & EVENT_READ else 0) | (POLLOUT if events & EVENT_WRITE else 0)
                wasyncore.readwrite(key.data, flags)
                self._changed.append(key.fd)

    def _ask(self, number: int) -> None:
        channel = self._channels.get(number)
        if channel is None:
            return
        wanted = EVENT_READ if channel.readable() else 0
        if channel.writable() and not channel.accepting:
            wanted |= EVENT_WRITE
        before = self._events.get(number, 0)
        if wanted == before:
            return
        if not wanted:
            self.forget(number)
            return
        self._events[number] = wanted
        if before:
            self._selector.modify(number, wanted, channel)
        else:
            self._selector.register(number, wanted, channel)
