"""The network between parties of this machine, as TCP proxies that can be told to behave as bad networks do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from typing import Any, Self

from order_service.cli.stack.ports import free_port

PIECE = 65_536  # bytes that are passed on at a time
DELAY = 0.2  # seconds for each piece on a slow line
DROP, DROP_DELAY = 64, 0.02  # bytes, and seconds for each, on one that dribbles
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is not delivered is dropped, and the other side told so
TO_END = 10.0  # seconds


class Conduct(StrEnum):
    """How a line behaves, from when it is told on."""

    WELL = "well"
    CUT = "cut"  # what is open is reset, and nobody gets a new connection
    SILENT = "silent"  # nothing comes through, and nobody is told; all that was sent arrives when it is well again
    HALF_OPEN = "half open"  # clients are reset and the server is not told; who comes anew is served
    SLOW = "slow"  # DELAY for each piece, in each direction
    DRIBBLING = "dribbling"  # DROP by DROP
    RESET = "reset"  # what is open is reset, once; who comes anew is served


PACES = {Conduct.SLOW: (PIECE, DELAY), Conduct.DRIBBLING: (DROP, DROP_DELAY)}


class Network:
    """Lines to servers, all on one thread of their own, until the `with` block ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._lines: list[Line] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            self._do(line.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def line(self, port: int, host: str = "127.0.0.1") -> "Line":
        """A new line to whoever listens there, at a port of its own."""
        line = Line(host, port, free_port())
        self._do(line.open())
        self._lines.append(line)
        return line

    def set(self, line: "Line", conduct: Conduct) -> None:
        """Have a line behave so from now on. For any thread."""
        self._do(line.set(conduct))

    def _do(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(TO_END)


class Line:
    """Passes on what comes to `port` to a server, and back, as its conduct has it."""

    def __init__(self, host: str, server: int, port: int) -> None:
        self.port, self.conduct = port, Conduct.WELL
        self._server = host, server
        self.speaks = asyncio.Event()
        self.speaks.set()
        self._calls: set[_Call] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def set(self, conduct: Conduct) -> None:
        self.conduct = conduct
        for call in [each for each in self._calls if each.is_half_open or conduct in (Conduct.CUT, Conduct.RESET)]:
            call.reset()
        if conduct is Conduct.HALF_OPEN:
            for call in self._calls:
                call.lose_client()
        if conduct is Conduct.SILENT:
            self.speaks.clear()
        else:
            self.speaks.set()

    async def close(self) -> None:
        assert self._listener
        self._listener.close()
        for call in self._calls:
            call.reset()
        while self._calls:
            await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = _Call(self, writer)
        self._calls.add(call)
        with suppress(OSError, asyncio.CancelledError):  # a side has gone or is not there, or the call was reset
            if self.conduct is not Conduct.CUT:
                await self.speaks.wait()
                await call.run(reader, self._server)
        self._calls.discard(call)
        call.reset()  # so that the other side is told


class _Call:
    """One client's connection, and the one to the server that was opened for it."""

    def __init__(self, line: Line, client: asyncio.StreamWriter) -> None:
        self._line, self._client = line, client
        self._server: asyncio.StreamWriter | None = None
        self._task = asyncio.current_task()
        self.is_half_open = False

    async def run(self, reader: asyncio.StreamReader, server: tuple[str, int]) -> None:
        answers, self._server = await asyncio.open_connection(*server)
        both = [self._pass_on(reader, self._server), self._pass_on(answers, self._client)]
        tasks = [asyncio.ensure_future(each) for each in both]
        try:
            await asyncio.gather(*tasks)
            for side in (self._client, self._server):  # both have finished: what is still on its way arrives
                side.close()
                await side.wait_closed()
        except OSError:
            if not self.is_half_open:
                raise
            await asyncio.Event().wait()  # the server is left in the belief that somebody is there
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All that one side says, until it has no more to say."""
        while data := await reader.read(PIECE):
            while data:
                await self._line.speaks.wait()
                size, pause = PACES.get(self._line.conduct, (PIECE, 0.0))
                if pause:
                    await asyncio.sleep(pause)
                writer.write(data[:size])
                data = data[size:]
                await writer.drain()
        if not self.is_half_open and writer.can_write_eof():
            writer.write_eof()

    def lose_client(self) -> None:
        if self._server:
            self.is_half_open = True
            _reset(self._client)

    def reset(self) -> None:
        for side in (self._client, self._server):
            if side:
                _reset(side)
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()


def _reset(side: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # it has ended by itself
        if (handle := side.get_extra_info("socket")) and handle.fileno() >= 0:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    side.transport.abort()
