"""Calls with a deadline and bounded retries, over a pool of connections.

    call = one request id, one deadline, at most attempts_max attempts
    attempt fails: kind retry, or status 429 or 503 --> pause (Retry-After, else jittered and doubling) --> same id
    again

Invariants: an attempt that is repeated carries the request id of the first, so the server acts once; a pause never goes
beyond the deadline; at most `pool_size` idle connections are kept per origin; a forked child uses none of its parent's;
a call that is cancelled from another thread raises CallCancelled and sends nothing more.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from transferq._buffers import BufferPool
from transferq._cancel import CallCancelled, current_cancellation
from transferq._encode import Body
from transferq._http import Answer, Connection, Deadline, Origin
from transferq._protocol import HEADERS, MEDIA_TYPES, PROTOCOL_VERSION, TAIL_SIZE
from transferq.errors import (
    AnswerInvalid,
    ChecksumMismatch,
    ClientClosed,
    ConnectionFailed,
    TransferQueueError,
    error_of,
)

# The shard map handles this one: it asks again elsewhere.
WRONG_NODE: Final = "wrong_node"
# Puts say themselves how long they wait for room.
OVER_BUDGET: Final = "over_budget"
STATUSES_TO_RETRY: Final = (429, 503)


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and after which pauses, a call is tried again.

    Attributes:
        attempts_max: attempts per call, the first one included.
        backoff_s: the first pause is chosen evenly within this window (seconds).
        backoff_factor: each further pause is this much longer.
        backoff_s_max: longest pause. A pause that the server asks for (Retry-After) takes its place.
    """

    attempts_max: int = 8
    backoff_s: tuple[float, float] = (0.5, 0.8)
    backoff_factor: float = 2.0
    backoff_s_max: float = 4.0

    def pause_s(self, attempt: int, retry_after_s: float | None) -> float:
        """The pause after this attempt (1 = the first)."""
        if retry_after_s is not None:
            return retry_after_s
        pause = random.uniform(*self.backoff_s) * self.backoff_factor ** (attempt - 1)
        return min(pause, self.backoff_s_max)


@dataclass(frozen=True)
class Request:
    """One call of a route. Bytes are a JSON body, or what `media` says; a Body is an Arrow body with its checksum."""

    method: str
    target: str
    body: bytes | Body = b""
    # Whether the answer may be Arrow: its checksum is asked for.
    reads: bool = False
    # That of an earlier call, to ask for what it did; else the call gets one of its own.
    request_id: str = ""
    media: str = MEDIA_TYPES["json"]


class Transport:
    """The connections of one client, and the calls over them."""

    def __init__(
        self,
        *,
        token: str | None,
        timeout_s: float,
        pool_size: int,
        retry: RetryPolicy,
        idle_bytes_max: int,
        agent: str,
    ) -> None:
        self.timeout_s = timeout_s
        self.buffers = BufferPool(idle_bytes_max)
        self._retry = retry
        self._pool_size = pool_size
        authorization = "" if token is None else f"authorization: Bearer {token}\r\n"
        self._common = f"{HEADERS['protocol']}: {PROTOCOL_VERSION}\r\nuser-agent: {agent}\r\n{authorization}"
        self.reset()

    def reset(self) -> None:
        """Forgets connections, ids and memory: a forked child shares none of them with its parent."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._id_prefix = secrets.token_hex(8)
        self._ids = itertools.count()
        self.buffers.reset()

    def close(self) -> None:
        """Closes all connections; calls of other threads that are under way end with ClientClosed."""
        self._closed.set()
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle = {}
            for connection in self._busy:
                connection.abort()
        for connection in idle:
            connection.close()
        self.buffers.reset()

    def call(self, origin: Origin, request: Request, *, wait_s: float = 0.0, timeout_s: float | None = None) -> Answer:
        """The answer (status below 400) to a request; raises TransferQueueError for anything else.

        Args:
            wait_s: how long the server may take on purpose; the deadline is that much later.
            timeout_s: another deadline than the client's.
        """
        deadline = Deadline((self.timeout_s if timeout_s is None else timeout_s) + wait_s)
        request_id = request.request_id or f"{self._id_prefix}-{next(self._ids):x}"
        head = self._head(origin, request, request_id)
        acts = request.method != "GET"
        for attempt in itertools.count(1):
            try:
                answer = self._attempt(origin, head, request.body, deadline)
                if answer.status < 400:
                    return answer
                error, retry_after_s = _error_of(answer), _retry_after_s(answer.headers)
            except (ConnectionFailed, AnswerInvalid, ChecksumMismatch) as broken:
                if _is_cancelled():
                    raise CallCancelled(request_id if acts else "") from broken
                if self._closed.is_set():
                    raise ClientClosed() from broken
                error, retry_after_s = broken, None
            except CallCancelled:
                raise CallCancelled(request_id if acts and attempt > 1 else "") from None
            pause_s = self._retry.pause_s(attempt, retry_after_s)
            last = attempt >= self._retry.attempts_max or not deadline.allows(pause_s)
            if last or not _is_worth_retrying(error):
                raise error
            self.pause(pause_s)
        raise ClientClosed()

    def pause(self, pause_s: float) -> None:
        """Waits before the next attempt, less long when the call is cancelled; raises ClientClosed."""
        cancellation = current_cancellation()
        if cancellation is None:
            self._closed.wait(pause_s)
        else:
            cancellation.wait(pause_s)
        if self._closed.is_set():
            raise ClientClosed()

    def _head(self, origin: Origin, request: Request, request_id: str) -> bytes:
        body = request.body
        lines = [
            f"{request.method} {origin.base_path}{request.target} HTTP/1.1\r\nhost: {origin.authority}\r\n",
            self._common,
            f"{HEADERS['request_id']}: {request_id}\r\n",
        ]
        if request.reads:
            lines.append(f"{HEADERS['want_tail']}: 1\r\n")
        if isinstance(body, Body):
            size = body.size + TAIL_SIZE
            lines.append(f"content-type: {MEDIA_TYPES['arrow']}\r\ncontent-length: {size}\r\n")
        elif body or request.media != MEDIA_TYPES["json"]:
            lines.append(f"content-type: {request.media}\r\ncontent-length: {len(body)}\r\n")
        elif request.method in ("POST", "PUT"):
            lines.append("content-length: 0\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    def _attempt(self, origin: Origin, head: bytes, body: bytes | Body, deadline: Deadline) -> Answer:
        kept = self._take(origin)
        connection = kept or Connection(origin, deadline)
        try:
            return self._exchange(connection, head, body, deadline)
        except ConnectionFailed:
            if kept is None or connection.answering or self._closed.is_set() or _is_cancelled():
                raise
        # The server may have closed the kept connections long ago, which says nothing about the server now.
        self._drop_idle(origin)
        return self._exchange(Connection(origin, deadline), head, body, deadline)

    def _exchange(self, connection: Connection, head: bytes, body: bytes | Body, deadline: Deadline) -> Answer:
        with self._lock:
            if self._closed.is_set():
                connection.close()
                raise ClientClosed()
            self._busy.add(connection)
        try:
            cancellation = current_cancellation()
            if cancellation is None:
                return connection.exchange(head, body, deadline, self.buffers)
            cut = connection.half_close if cancellation.half_closes else connection.abort
            with cancellation.interrupted_by(cut):
                return connection.exchange(head, body, deadline, self.buffers)
        finally:
            # The answer may have come in spite of the cut; another call could not send over such a connection.
            connection.reusable = connection.reusable and not _is_cancelled()
            self._give_back(connection)

    def _take(self, origin: Origin) -> Connection | None:
        with self._lock:
            if self._closed.is_set():
                raise ClientClosed()
            idle = self._idle.get(origin)
            return idle.pop() if idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
            idle = self._idle.setdefault(connection.origin, [])
            if connection.reusable and not self._closed.is_set() and len(idle) < self._pool_size:
                idle.append(connection)
                return
        connection.close()

    def _drop_idle(self, origin: Origin) -> None:
        with self._lock:
            idle = self._idle.pop(origin, [])
        for connection in idle:
            connection.close()


def _is_cancelled() -> bool:
    cancellation = current_cancellation()
    return cancellation is not None and cancellation.cancelled


def _is_worth_retrying(error: TransferQueueError) -> bool:
    if error.code in (WRONG_NODE, OVER_BUDGET):
        return False
    return error.kind == "retry" or error.status in STATUSES_TO_RETRY


def _error_of(answer: Answer) -> TransferQueueError:
    try:
        body: Any = answer.json()
    except AnswerInvalid:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        details = body.get("details")
        return error_of(
            body["code"],
            message=str(body.get("message", "")),
            kind=str(body.get("kind", "")),
            details=details if isinstance(details, dict) else {},
            status=answer.status,
        )
    kind = "retry" if answer.status >= 500 or answer.status == 429 else "fix_request"
    text = answer.body[:200].tobytes().decode("utf-8", "replace")
    message = f"Status {answer.status} did not come from a Transfer-Queue server."
    return error_of("answer_invalid", message=message, kind=kind, details={"body": text}, status=answer.status)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; its other form, a date, is not one that our server sends."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
