"""What the thread that receives and sends waits for.

waitress asks every connection at every turn what it waits for: with 32 connections that was three quarters of what a
GET cost. Here a connection is asked when something has happened to it, and all of them once a second, because their
time may have come.
"""

import time
from collections import deque
from select import POLLIN, POLLOUT
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any

from waitress import wasyncore

ALL_AGAIN = 1.0  # seconds


class Interest:
    """Of the channels in waitress's own map, by file descriptor. For one thread, but for `changed`."""

    def __init__(self, channels: dict[int, Any]) -> None:
        self._channels = channels
        self._selector = DefaultSelector()
        self._events: dict[int, int] = {}
        self._changed: deque[Any] = deque()
        self._all_again = 0.0

    def changed(self, channel: Any) -> None:
        """Have this one asked before waiting again. Any thread may say so."""
        self._changed.append(channel)

    def turn(self, seconds: float) -> None:
        """Wait for at most so long until something happens, and let those do it to whom it did."""
        if (now := time.monotonic()) >= self._all_again:
            self._all_again = now + ALL_AGAIN
            self._changed.extend(self._channels.values())
        while self._changed:
            self._ask(self._changed.popleft())
        for key, events in self._selector.select(seconds):
            if self._channels.get(key.fd) is key.data:  # what came before in this turn may have closed it
                flags = (POLLIN if events & EVENT_READ else 0) | (POLLOUT if events & EVENT_WRITE else 0)
                wasyncore.readwrite(key.data, flags)
                self._changed.append(key.data)

    def forget(self, number: int | None) -> None:
        """What has this file descriptor is about to close it, and another may get it."""
        if number is not None and self._events.pop(number, 0):
            self._selector.unregister(number)

    def close(self) -> None:
        self._selector.close()

    def _ask(self, channel: Any) -> None:
        number: int = channel._fileno  # None when it is closed
        if number not in self._channels or self._channels[number] is not channel:
            return
        events = EVENT_READ if channel.readable() else 0
        if channel.writable() and not channel.accepting:
            events |= EVENT_WRITE
        before = self._events.get(number, 0)
        if not events:
            self.forget(number)
        elif not before:
            self._selector.register(number, events, channel)
            self._events[number] = events
        elif events != before:
            self._selector.modify(number, events, channel)
            self._events[number] = events
