"""A minimal HTTP client: requests made in advance, so that what is measured is the server and no SDK."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from wire_pair import receive, warm_buffer

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def request(method: str, path: str, *, headers: str = "", body: Any = b"") -> bytes:
    """The head of a request, with its body behind it when that is a JSON object."""
    text = json.dumps(body).encode() if isinstance(body, dict) else b""
    kind = "content-type: application/json\r\n" if text else ""
    size = len(text) or len(body)
    return f"{method} {path} HTTP/1.1\r\nhost: tq\r\n{kind}{headers}content-length: {size}\r\n\r\n".encode() + text


class RawClient:
    """One connection. Bodies are received into one warm buffer."""

    def __init__(self, url: str, buffer: memoryview | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = warm_buffer() if buffer is None else buffer

    def send(self, head: bytes, body: Any = b"") -> None:
        self.socket.sendall(head)
        if len(body):
            self.socket.sendall(body)

    def answer(self) -> memoryview:
        """The body of the next answer; it must be a good one."""
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError("the server closed the connection")
            head += piece
        found = _LENGTH.search(head, 0, end)
        size = int(found[1]) if found else 0
        rest = head[end + 4 :]
        self._buffer[: len(rest)] = rest
        receive(self.socket, self._buffer[len(rest) : size])
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"the server answered {head[:end]!r} {bytes(self._buffer[:size])!r}")
        return self._buffer[:size]

    def close(self) -> None:
        self.socket.close()
