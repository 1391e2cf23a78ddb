"""The limits of a server: how many requests at once, how large, how long. Its other modules do not know them."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from fastapi import HTTPException, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Result = TypeVar("Result")
POLL_S = 0.1


class Limits(NamedTuple):
    upload_bytes: int = 25 << 20  # of a request's body, as OpenAI has it
    upload_s: float = 60.0  # until it has arrived
    sound_s: float = 600.0  # of a recording
    work_s: float = 120.0  # of waiting and computing
    workers: int = 2  # requests that are computed at the same time
    waiting: int = 16  # requests that may wait, uploads under way included


class CancelledError(Exception):
    """Raised in a worker whose client has gone or whose time is over."""


def error_json(message: str, kind: str = "invalid_request_error") -> dict:
    """An error as OpenAI's API writes it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


class Gate:
    """ASGI middleware: counts POST requests, and refuses what is too much (429), too large (413), too slow (408).

    A request holds its place from its first byte until its answer is sent or its client has gone. What a client still
    sends when it is answered is read and dropped: one that is cut off while it sends sees no answer.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app = app
        self._limits = limits
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        receive, send = self._limited(scope, receive, send)
        if self._busy >= self._limits.workers + self._limits.waiting:
            answer = JSONResponse(error_json("too many requests at once; try again in some seconds",
                                             "rate_limit_error"), 429, {"Retry-After": "2"})
            await answer(scope, receive, send)
            return
        self._busy += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._busy -= 1

    def _limited(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """`receive` that raises HTTPException 413 and 408, and `send` that ends when the upload has, or its time."""
        limits, seen, whole = self._limits, 0, False
        end = time.monotonic() + limits.upload_s
        length = dict(scope["headers"]).get(b"content-length", b"0")
        promised = int(length) if length.isdigit() else 0

        async def next_part() -> Message:
            nonlocal whole
            message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            whole = not message.get("more_body", False)
            return message

        async def limited() -> Message:
            nonlocal seen
            if whole:
                return await receive()
            if promised > limits.upload_bytes:
                raise HTTPException(413, _too_large(limits))
            try:
                message = await next_part()
            except asyncio.TimeoutError:
                raise HTTPException(408, f"the upload took longer than {limits.upload_s:.0f} s") from None
            seen += len(message.get("body", b""))
            if seen > limits.upload_bytes:
                raise HTTPException(413, _too_large(limits))
            return message

        async def lingering(message: Message) -> None:
            if message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(asyncio.TimeoutError):
                while not whole:
                    await next_part()
            await send({"type": "http.response.body"})

        return limited, lingering


def _too_large(limits: Limits) -> str:
    return f"the upload is larger than {limits.upload_bytes >> 20} MiB; send a shorter recording, or compress it"


class Workers:
    """Threads that compute for requests."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="worker")

    async def run(self, request: Request, function: Callable[[Callable[[], None]], Result]) -> Result:
        """`function` in a thread; it calls its argument now and then, which raises CancelledError if it is to stop.

        Returns when the thread has stopped, so that no work goes on after an answer. Raises HTTPException 408 if
        the time is over, and 499 if the client has gone.
        """
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise CancelledError

        job = self._pool.submit(function, check)
        future = asyncio.wrap_future(job)
        end = time.monotonic() + self._limits.work_s
        try:
            while not (await asyncio.wait({future}, timeout=POLL_S))[0]:
                if await request.is_disconnected():
                    raise HTTPException(499, "the client has gone")
                if time.monotonic() > end:
                    raise HTTPException(408, f"it took longer than {self._limits.work_s:.0f} s; try a shorter one")
            return future.result()
        finally:
            stop.set()
            if not job.cancel() and not future.done():
                await asyncio.wait({future})
            if future.done() and not future.cancelled():
                future.exception()  # seen: asyncio need not tell of it

    def close(self) -> None:
        """Stop; what is at work ends first."""
        self._pool.shutdown(cancel_futures=True)
