"""The opponent of the `wire` suite: a bare loopback socket pair, Python to Python, `sendall` and `recv_into`.

    request   up u64 | down u64 | up bytes ...        answer   down bytes

Both ends use one warm buffer; nothing is parsed, hashed, checked or kept. Run as a script it is the far end.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from typing import Any

import numpy as np

HEAD = struct.Struct("<QQ")
BUFFER_SIZE = 320 << 20


def receive(connection: socket.socket, view: memoryview) -> None:
    """Fills the view."""
    at = 0
    while at < len(view):
        count = connection.recv_into(view[at:])
        if count == 0:
            raise ConnectionError("the other end closed")
        at += count


class BarePair:
    """The near end, and the process of the far end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None:
            raise OSError("the far end has no output")
        self.pid = self._process.pid
        self._connection = socket.create_connection(("127.0.0.1", int(self._process.stdout.readline())))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = warm_buffer()

    def exchange(self, up: memoryview, down: int) -> memoryview:
        """Sends these bytes, and receives as many as asked for."""
        if len(up) <= 1 << 16:
            self._connection.sendall(HEAD.pack(len(up), down) + up)
        else:
            self._connection.sendall(HEAD.pack(len(up), down))
            self._connection.sendall(up)
        receive(self._connection, self._buffer[:down])
        return self._buffer[:down]

    def close(self) -> None:
        self._connection.close()
        self._process.wait()


def warm_buffer() -> memoryview:
    """Random bytes in memory that was touched."""
    block = np.random.default_rng(1).integers(0, 256, 1 << 20, np.uint8)
    buffer: Any = np.tile(block, BUFFER_SIZE >> 20)
    return memoryview(buffer)


def serve() -> None:
    """Answers one connection until it closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    buffer = warm_buffer()
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = bytearray(HEAD.size)
    while True:
        try:
            receive(connection, memoryview(head))
        except ConnectionError:
            return
        up, down = HEAD.unpack(head)
        receive(connection, buffer[:up])
        connection.sendall(buffer[:down])


if __name__ == "__main__":
    serve()
