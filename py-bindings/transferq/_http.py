"""One HTTP/1.1 connection: bodies are sent from where they lie and received to where they stay.

    send     head | piece | piece | ... | tail        in windows: hashed, then handed to the kernel while in the cache
    receive  head -> 16 KiB of the connection;  body -> recycled memory, hashed window by window, tail compared

http.client is not used: it parses heads for 100 us and joins what it sends.

Invariants: no wait is longer than what remains of the deadline; after an error the connection is closed, never
reused; a body is handed on only when its length is the announced one and its checksum, if it has one, is right.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from transferq._buffers import BufferPool
from transferq._core import BodyHasher
from transferq._encode import Body
from transferq._protocol import HEADERS, TAIL_MAGIC, TAIL_SIZE
from transferq.errors import AnswerInvalid, ChecksumMismatch, ConnectionFailed, DeadlineExceeded, FixRequest

Value = TypeVar("Value")

HEAD_SIZE_MAX: Final = 16 << 10
HEAD_FIELDS_MAX: Final = 100
INTERIM_ANSWERS_MAX: Final = 8
# One window is hashed and then sent, or received and then hashed, while the cache still holds it.
WINDOW_SIZE: Final = 1 << 20
# Bodies up to this size are joined and sent in one call: copying them costs less than listing their pieces.
JOINED_SIZE_MAX: Final = 64 << 10
# The kernel takes at most IOV_MAX (1024) pieces in one call.
PIECES_PER_SEND_MAX: Final = 512
# Pieces smaller than this, on average over a window, are joined for the hash.
HASHED_PIECE_SIZE_MIN: Final = 16 << 10


@dataclass(frozen=True)
class Origin:
    """Where a server listens."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @staticmethod
    def of(url: str) -> Origin:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FixRequest(f"{url!r} is not a URL: {error}.", code="target_invalid") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise FixRequest(f"The URL must look like http://127.0.0.1:7654, not {url!r}.", code="target_invalid")
        default = 443 if parts.scheme == "https" else 80
        return Origin(parts.scheme, parts.hostname, port or default, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base_path}"


class Deadline:
    """A point in time that no wait of one call goes beyond."""

    __slots__ = ("at", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.at = time.monotonic() + timeout_s

    def allows(self, pause_s: float) -> bool:
        """Whether there is time left after such a pause."""
        return time.monotonic() + pause_s < self.at

    def left_s(self) -> float:
        """Seconds left, never 0 or less: raises DeadlineExceeded instead."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(details={"timeout_s": self.timeout_s})
        return left


@dataclass(frozen=True)
class Answer:
    """One complete answer; ``body`` has no checksum tail any more."""

    status: int
    headers: dict[str, str]
    body: NDArray[np.uint8]

    def json(self) -> Any:
        try:
            return json.loads(self.body.tobytes())
        except ValueError as error:
            raise AnswerInvalid("The answer is not JSON.", status=self.status) from error

    def value(self, name: str, kind: Callable[[Any], Value]) -> Value:
        """The value of this name in a JSON answer."""
        try:
            return kind(self.json()[name])
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerInvalid(f"The answer does not say {name!r}.", status=self.status) from error

    def number(self, header: str, default: int = 0) -> int:
        """The number in one of our headers."""
        value = self.headers.get(HEADERS[header])
        if value is None:
            return default
        if not value.isdecimal():
            raise AnswerInvalid(f"Header {HEADERS[header]} is not a number.", status=self.status)
        return int(value)


class Connection:
    """A socket to one origin, used by one call at a time."""

    def __init__(self, origin: Origin, deadline: Deadline) -> None:
        self.origin = origin
        # Whether some of the answer to the request at hand has come.
        self.answering = False
        self.reusable = True
        with contextlib.ExitStack() as undo:
            try:
                plain = socket.create_connection((origin.host, origin.port), deadline.left_s())
                undo.callback(plain.close)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket = plain
                if origin.scheme == "https":
                    self._socket = ssl.create_default_context().wrap_socket(plain, server_hostname=origin.host)
            except OSError as error:
                raise _broken(f"connect to {origin.authority}", error, deadline) from error
            undo.pop_all()
        # TLS sockets and Windows have no scatter sends.
        self._scatters = hasattr(plain, "sendmsg") and origin.scheme == "http"
        self._head = bytearray(HEAD_SIZE_MAX)

    def close(self) -> None:
        self.reusable = False
        self._socket.close()

    def abort(self) -> None:
        """Makes the call that another thread has under way fail at once."""
        self._shut_down(socket.SHUT_RDWR)

    def half_close(self) -> None:
        """Tells the server that nobody waits any more for the call that another thread has under way; that thread sees
        the answer, if it was on its way, and else that the server closes the connection."""
        self._shut_down(socket.SHUT_WR)

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError):
            # Not TLS's own method: it forgets the keys first, and what another thread sends then goes out in the clear.
            socket.socket.shutdown(self._socket, how)

    def exchange(self, head: bytes, body: bytes | Body, deadline: Deadline, buffers: BufferPool) -> Answer:
        """Sends one request and receives its answer."""
        self.reusable = self.answering = False
        try:
            try:
                self._send(head, body, deadline)
            except (BrokenPipeError, ConnectionResetError) as error:
                # A server that refuses a body by its head answers and closes; that answer says more than the reset.
                refusal = self._refusal(deadline, buffers)
                if refusal is None:
                    raise error
                return refusal
            return self._receive(deadline, buffers)
        except OSError as error:
            raise _broken(f"talk to {self.origin.authority}", error, deadline) from error

    # ---- Sending -------------------------------------------------------------------------------------------------

    def _send(self, head: bytes, body: bytes | Body, deadline: Deadline) -> None:
        self._socket.settimeout(deadline.left_s())
        if isinstance(body, bytes):
            self._socket.sendall(head + body)
            return
        hasher = BodyHasher()
        if body.size <= JOINED_SIZE_MAX:
            joined = b"".join(body.pieces)
            hasher.update(joined)
            self._socket.sendall(b"".join((head, joined, TAIL_MAGIC, hasher.finish())))
            return
        self._send_all([memoryview(head)], deadline)
        for window in _windows(body.pieces):
            _hash(hasher, window)
            self._send_all(window, deadline)
        self._send_all([memoryview(TAIL_MAGIC + hasher.finish())], deadline)

    def _send_all(self, views: list[memoryview], deadline: Deadline) -> None:
        if not self._scatters:
            for view in views:
                self._socket.settimeout(deadline.left_s())
                self._socket.sendall(view)
            return
        while views:
            self._socket.settimeout(deadline.left_s())
            views = _after(views, self._socket.sendmsg(views))

    # ---- Receiving -----------------------------------------------------------------------------------------------

    def _refusal(self, deadline: Deadline, buffers: BufferPool) -> Answer | None:
        try:
            answer = self._receive(deadline, buffers)
        except (OSError, ConnectionFailed, AnswerInvalid):
            return None
        self.reusable = False
        return answer if answer.status >= 400 else None

    def _receive(self, deadline: Deadline, buffers: BufferPool) -> Answer:
        filled = 0
        for _ in range(INTERIM_ANSWERS_MAX):
            end, filled = self._receive_head(filled, deadline)
            status, headers = _parse_head(bytes(self._head[:end]))
            rest = self._head[end + 4 : filled]
            if status >= 200:
                break
            self._head[: len(rest)] = rest
            filled = len(rest)
        else:
            raise AnswerInvalid("The server sent interim answers only.")
        length = headers.get("content-length", "0" if status in (204, 304) else "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            raise AnswerInvalid("The answer has no Content-Length.", status=status)
        size = int(length)
        if len(rest) > size:
            raise AnswerInvalid("The answer is longer than its Content-Length.", status=status)
        body = buffers.lend(size)
        view = body.data
        view[: len(rest)] = rest
        tailed = HEADERS["tail"] in headers
        if tailed and size < TAIL_SIZE:
            raise AnswerInvalid("The answer is shorter than its checksum.", status=status)
        self._receive_body(view, len(rest), hashed_size=size - TAIL_SIZE if tailed else 0, deadline=deadline)
        self.reusable = headers.get("connection", "").lower() != "close"
        return Answer(status, headers, body[: size - TAIL_SIZE] if tailed else body)

    def _receive_head(self, filled: int, deadline: Deadline) -> tuple[int, int]:
        """Where the head ends, and how many bytes there are in all."""
        with memoryview(self._head) as view:
            while True:
                end = self._head.find(b"\r\n\r\n", 0, filled)
                if end >= 0:
                    return end, filled
                if filled == HEAD_SIZE_MAX:
                    raise AnswerInvalid("The head of the answer is too large.")
                self._socket.settimeout(deadline.left_s())
                count = self._socket.recv_into(view[filled:])
                if count == 0:
                    raise ConnectionFailed(f"{self.origin.authority} closed the connection before it answered.")
                filled += count
                self.answering = True

    def _receive_body(self, view: memoryview, at: int, *, hashed_size: int, deadline: Deadline) -> None:
        """Fills the view from ``at``; its first ``hashed_size`` bytes must have the checksum that follows them."""
        hasher = BodyHasher() if hashed_size else None
        hashed = 0
        size = len(view)
        while True:
            if hasher is not None:
                ready = min(at, hashed_size)
                while ready - hashed >= WINDOW_SIZE or (at == size and hashed < hashed_size):
                    window = view[hashed : min(hashed + WINDOW_SIZE, hashed_size)]
                    hasher.update(window)
                    hashed += len(window)
            if at == size:
                break
            self._socket.settimeout(deadline.left_s())
            count = self._socket.recv_into(view[at : at + WINDOW_SIZE])
            if count == 0:
                details = {"received": at, "announced": size}
                raise ConnectionFailed(f"{self.origin.authority} closed within an answer.", details=details)
            at += count
        if hasher is not None and view[hashed_size:] != TAIL_MAGIC + hasher.finish():
            raise ChecksumMismatch()


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal() or len(status) != 3 or len(lines) > HEAD_FIELDS_MAX:
        raise AnswerInvalid("The answer is not HTTP/1.1.")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(status), headers


def _windows(pieces: Sequence[Any]) -> Iterator[list[memoryview]]:
    """The pieces in order, cut so that each list holds at most WINDOW_SIZE bytes in PIECES_PER_SEND_MAX views."""
    window: list[memoryview] = []
    filled = 0
    for piece in pieces:
        view = memoryview(piece)
        at, size = 0, len(view)
        while at < size:
            taken = min(size - at, WINDOW_SIZE - filled)
            window.append(view[at : at + taken])
            at += taken
            filled += taken
            if filled == WINDOW_SIZE or len(window) == PIECES_PER_SEND_MAX:
                yield window
                window, filled = [], 0
    if window:
        yield window


def _hash(hasher: BodyHasher, window: list[memoryview]) -> None:
    if len(window) > 1 and sum(map(len, window)) < HASHED_PIECE_SIZE_MIN * len(window):
        hasher.update(b"".join(window))
        return
    for view in window:
        hasher.update(view)


def _after(views: list[memoryview], sent: int) -> list[memoryview]:
    """What remains of the views when this many bytes are sent."""
    for index, view in enumerate(views):
        if sent < len(view):
            return [view[sent:], *views[index + 1 :]]
        sent -= len(view)
    return []


def _broken(doing: str, error: OSError, deadline: Deadline) -> ConnectionFailed | DeadlineExceeded:
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(details={"timeout_s": deadline.timeout_s})
    return ConnectionFailed(f"Could not {doing}: {error}.")
