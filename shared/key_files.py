"""API keys that follow their file: a key that is added or taken away there counts without a restart."""

import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from shared.api_keys import Key, Keys

log = logging.getLogger("fulfillment.keys")

PACE = 1.0  # seconds between two looks at the file


class KeyFile:
    """The keys in a file, as they are now. What cannot be read or understood changes nothing and is logged once."""

    def __init__(self, path: Path, read: Callable[[Path], Keys]) -> None:
        """`read` raises ValueError or OSError for what must not count; so does this, the first time."""
        self._path, self._read = path, read
        self._state = self._look()
        self._known = read(path).known()
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def known(self) -> tuple[Key, ...]:
        with self._lock:
            if time.monotonic() - self._looked >= PACE:
                self._looked = time.monotonic()
                if (state := self._look()) != self._state:
                    self._state = state
                    self._replace()
            return self._known

    def _replace(self) -> None:
        try:
            self._known = self._read(self._path).known()
        except (ValueError, OSError) as error:
            log.error("the API keys stay as they were: %s: %s", self._path, error)
        else:
            log.info("%d API keys from %s", len(self._known), self._path)

    def _look(self) -> tuple[int, ...]:
        """What changes when the file does; empty while there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino


def settled(keys: Keys, file: str | None, host: str, demo: bool) -> Keys:
    """The keys of an API that listens at `host`: from `file`, when there is one, as they are there at each moment.

    Raises ValueError for those that could be guessed by whoever reaches the API, unless it is a `demo`.
    """

    def checked(keys: Keys) -> Keys:
        if keys.weak and not demo and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(
                f"of {', '.join(keys.weak[:5])} are short or known from examples, and HOST {host} can be reached by "
                "others: use those of `fulfillment key new`, or set DEMO=on"
            )
        return keys

    def read(path: Path) -> Keys:
        if keys := Keys.parse(path.read_text(encoding="utf-8")):
            return checked(keys)
        raise ValueError("are none: the file is empty")

    return Keys(KeyFile(Path(file), read).known) if file else checked(keys)
