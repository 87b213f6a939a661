"""Looks on from a process of its own: `python -m tests.benchmarks.viewers '{"url": "http://127.0.0.1:8000", …}'`.

Prints "open" when everything is, and looks on until its input ends; then {"frames": …, "bytes": …, "reopened": …,
"cpu": seconds}. Raises when a stream is refused or ends by itself.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from order_service.web.console.sessions import COOKIE, VISITOR, form_token

DWELL = 10.0  # seconds for which a customer looks at one order
OPERATOR, CUSTOMER = "bench-operator", "bench-alice"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Who looks at what: `orders` follow one order after the other, `everything` all of them, `boards` the board."""

    url: str
    orders: int = 180
    everything: int = 20
    boards: int = 50

    def as_json(self) -> str:
        return json.dumps(asdict(self))


class Viewers:
    """All of them. The newest orders are known from the streams of everything."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        host, _, port = looks.url.removeprefix("http://").partition(":")
        self._address = host, int(port)
        self._newest: deque[str] = deque(maxlen=500)
        self._open = 0
        self.frames = self.bytes = self.reopened = 0

    async def look(self) -> None:
        cookie = await self._sign_in()
        self._newest.append(await self._some_order())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._view("/events", OPERATOR)) for _ in range(self._looks.everything)]
            tasks += [group.create_task(self._view("/console/live", cookie=cookie)) for _ in range(self._looks.boards)]
            tasks += [group.create_task(self._follow(number)) for number in range(self._looks.orders)]
            tasks.append(group.create_task(self._tell_when_open()))
            await asyncio.to_thread(sys.stdin.read)
            for each in tasks:
                each.cancel()

    async def _tell_when_open(self) -> None:
        while self._open < self._looks.everything + self._looks.boards + self._looks.orders - 10:  # some turn just now
            await asyncio.sleep(0.05)
        print("open", flush=True)

    async def _follow(self, number: int) -> None:
        """One order after the other, each for as long; the first one shorter, so that not all turn at a time."""
        dwell = DWELL * (number + 1) / self._looks.orders
        while True:
            try:
                async with asyncio.timeout(dwell):
                    await self._view(f"/orders/{self._newest[-1]}/events", CUSTOMER)
            except TimeoutError:
                self.reopened, dwell = self.reopened + 1, DWELL

    async def _some_order(self) -> str:
        head, reader, writer = await self._ask("GET", "/orders?limit=1", CUSTOMER)
        length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
        found: str = json.loads(await reader.readexactly(length))["items"][0]["id"]
        writer.close()
        return found

    async def _view(self, path: str, token: str = "", *, cookie: str = "") -> None:
        """Read a stream for as long as it goes."""
        head, reader, writer = await self._ask("GET", path, token, cookie)
        try:
            if not head.startswith("HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {head}")
            self._open += 1
            while chunk := await reader.read(1 << 16):
                self.bytes += len(chunk)
                self.frames += chunk.count(b"data: ")
                if path == "/events":
                    self._note(chunk)
            raise RuntimeError(f"{path} has ended")
        finally:
            self._open -= 1
            writer.close()

    def _note(self, chunk: bytes) -> None:
        """Remember the orders that were placed, from those of their lines that came in one piece."""
        for line in chunk.split(b"\n"):
            if line.startswith(b"data: ") and b'"seq":1,' in line and (at := line.find(b'"order_id":"')) > 0:
                self._newest.append(line[at + 12 : at + 48].decode())

    async def _sign_in(self) -> str:
        form = urlencode({"key": OPERATOR, "form_token": form_token("visitor")})
        head, _, writer = await self._ask("POST", "/console/sign-in", cookie=f"{VISITOR}=visitor", form=form)
        writer.close()
        return f"{COOKIE}={head.partition(f'{COOKIE}=')[2].partition(';')[0]}"

    async def _ask(
        self, method: str, path: str, token: str = "", cookie: str = "", form: str = ""
    ) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self._address, limit=1 << 20)
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(form)}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"Cookie: {cookie}"] if cookie else []
        lines += ["Content-Type: application/x-www-form-urlencoded"] if form else []
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + form).encode())
        return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


if __name__ == "__main__":
    os.nice(19)  # viewers have machines of their own; here they take what is left
    viewers = Viewers(Looks(**json.loads(sys.argv[1])))
    asyncio.run(viewers.look())
    seen = {"frames": viewers.frames, "bytes": viewers.bytes, "reopened": viewers.reopened}
    print(json.dumps(seen | {"cpu": time.process_time()}))
