"""Waiting for news: any number of callers and viewers, one thread that looks at the database ten times a second."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable

from sqlalchemy import Connection

from order_service.queries import versions
from order_service.web.streams import Stream, Topic
from shared.database import Database, TransientError
from shared.http.rates import Share

log = logging.getLogger("fulfillment.watch")

PACE = 0.1  # seconds between looks while somebody waits
AWAY = 1.0  # seconds until another look at a database that cannot be read, while somebody views a stream


class Watch:
    """Tells those who wait, each in its own thread, and those who view streams.

    Holds at most `most` requests that wait, `each` of one caller, and `streams` viewers, `per_key` of one caller.
    Viewers hold no threads.
    """

    def __init__(
        self,
        database: Database,
        *,
        most: int,
        each: int | None = None,
        streams: int = 50,
        per_key: int = 20,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database, self._stopping = database, stopping
        self._slots, self._shares = threading.BoundedSemaphore(most), Share(each or most)
        self._most_streams, self._per_key = streams, per_key
        self._waited_for: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        self._topics: dict[Hashable, Topic] = {}
        self._streams: dict[Hashable, list[Stream]] = {}
        self._looked_at: dict[Hashable, float] = {}
        self._news = threading.Condition()
        self._looking = self._closed = False
        self._looker: threading.Thread | None = None

    def wait(self, order_id: str, version: int, seconds: float, who: str = "") -> bool:
        """Return as soon as the order has a later version than `version`, or after `seconds`.

        False, at once, when too many are waiting already, or too many of `who`. Returns early when the server stops,
        the database is away or the watch is closed.
        """
        if not self._shares.take(who):
            return False
        if not self._slots.acquire(blocking=False):
            self._shares.give_back(who)
            return False
        end = time.monotonic() + seconds
        try:
            with self._news:
                self._waited_for[order_id] += 1
                self._begin_to_look()
                while self._looking and self._seen.get(order_id, version) <= version and not self._stopping():
                    if (left := end - time.monotonic()) <= 0:
                        break
                    self._news.wait(left)
        finally:
            self._forget(order_id)
            self._slots.release()
            self._shares.give_back(who)
        return True

    def view(
        self,
        key: Hashable,
        make: Callable[[], Topic],
        after: int,
        who: str,
        own: tuple[bytes, bytes] | None = None,
    ) -> Stream | None:
        """Show somebody what is behind `after` in the topic of this key, from now on; `release` it in the end.

        None when too many are looking already, or the watch is closed.
        """
        with self._news:
            everybody = [each for streams in self._streams.values() for each in streams]
            mine = sum(each.who == who for each in everybody)
            if self._closed or len(everybody) >= self._most_streams or mine >= self._per_key:
                return None
            topic = self._topics.setdefault(key, make())
            stream = Stream(topic, after, who, own)
            self._streams.setdefault(key, []).append(stream)
            self._looked_at[key] = float("-inf")
            self._begin_to_look()
        return stream

    def release(self, stream: Stream) -> None:
        """The viewer has gone; may be called twice."""
        stream.close()
        with self._news:
            for key, streams in list(self._streams.items()):
                if stream in streams:
                    streams.remove(stream)
                    if not streams:
                        del self._streams[key], self._topics[key], self._looked_at[key]

    @property
    def viewers(self) -> int:
        with self._news:
            return sum(map(len, self._streams.values()))

    def close(self) -> None:
        """Let nobody wait or view any more, and look no more."""
        with self._news:
            self._closed = True
            looker = self._looker
            self._close_streams()
        if looker:
            looker.join()

    def _begin_to_look(self) -> None:
        if not self._looking:
            self._looking = True
            self._looker = threading.Thread(target=self._look, name="watch", daemon=True)
            self._looker.start()

    def _forget(self, order_id: str) -> None:
        with self._news:
            self._waited_for[order_id] -= 1
            if not self._waited_for[order_id]:
                del self._waited_for[order_id]
                self._seen.pop(order_id, None)

    def _look(self) -> None:
        """Tell of news until nobody waits or views any more or the watch is closed."""
        while self._still_wanted():
            self._tend()
            try:
                with self._database.reading() as connection:
                    self._tell_news(connection)
                time.sleep(PACE)
            except TransientError:
                with self._news:  # those who wait return, and meet the database themselves; viewers stay
                    self._looking = bool(self._streams)
                    self._news.notify_all()
                    if not self._looking:
                        return
                time.sleep(AWAY)
            except BaseException:
                with self._news:
                    self._looking = False
                    self._news.notify_all()
                    self._close_streams()
                raise

    def _tell_news(self, connection: Connection) -> None:
        with self._news:
            viewed = {each.order_id for each in self._topics.values() if each.order_id}
            wanted = list(viewed | self._waited_for.keys())
        found = versions(connection, wanted) if wanted else {}
        with self._news:
            self._seen = {each: number for each, number in found.items() if each in self._waited_for}
            self._news.notify_all()
            topics = [(key, topic, list(self._streams[key])) for key, topic in self._topics.items()]
        for key, topic, viewers in topics:
            if time.monotonic() - self._looked_at.get(key, 0.0) < topic.pace:
                continue
            for streams in looked_for_together(topic, [each for each in viewers if each.wants]):
                after = min(each.after for each in streams)
                if topic.order_id is None or found.get(topic.order_id, 0) > after:
                    self._looked_at[key] = time.monotonic()
                    self._show(connection, topic, after, streams)

    def _show(self, connection: Connection, topic: Topic, after: int, streams: list[Stream]) -> None:
        try:
            frames = topic.frames(connection, after)
        except TransientError:
            raise
        except Exception:  # a fault of one topic: its viewers are let go, all others are not held up
            log.exception("a stream cannot be shown")
            for each in streams:
                each.close()
            return
        if frames:
            together = b"".join(each.data for each in frames)
            for each in streams:
                each.push(frames, together)

    def _still_wanted(self) -> bool:
        with self._news:
            self._looking = bool(self._waited_for or self._streams) and not self._closed
            if not self._looking:
                self._news.notify_all()
            if self._stopping():
                self._close_streams()
            return self._looking

    def _close_streams(self) -> None:
        for streams in self._streams.values():
            for each in streams:
                each.close()

    def _tend(self) -> None:
        """Viewers who have gone make room; the others get a sign of life now and then."""
        with self._news:
            everybody = [each for streams in self._streams.values() for each in streams]
        for each in everybody:
            if not each.tend():
                self.release(each)


def looked_for_together(topic: Topic, streams: list[Stream]) -> list[list[Stream]]:
    """Those who are up to date, then those who catch up: a long way back must not hold up everybody's news."""
    newest = max((each.after for each in streams), default=0)
    behind = [each for each in streams if each.after < newest] if topic.has_backlog else []
    return [each for each in ([each for each in streams if each not in behind], behind) if each]
