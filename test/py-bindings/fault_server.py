"""A server that follows a case of test/vectors/faults.json, whose `about` says what each step means.

Invariant: every connection is counted from accept to its end, so that a test can see whether the client left one open.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRIPT = json.loads((Path(__file__).parents[1] / "vectors" / "faults.json").read_text())
GIVE_UP_S = 10.0


class FaultServer:
    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.request_ids: list[str] = []
        self.open_connections = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Wakes the thread that accepts, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def connections_end(self) -> bool:
        """Whether the client closes all connections, soon."""
        with self._changed:
            return self._changed.wait_for(lambda: self.open_connections == 0, GIVE_UP_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.open_connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(GIVE_UP_S)
            with connection, connection.makefile("rb") as stream:
                while self._one(connection, stream):
                    pass
        except OSError:
            pass
        finally:
            with self._changed:
                self.open_connections -= 1
                self._changed.notify_all()

    def _one(self, connection: socket.socket, stream: Any) -> bool:
        """One request; returns whether the connection stays."""
        first = stream.readline().decode()
        if not first:
            return False
        method, target, _ = first.split(" ")
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        background = SCRIPT["background"].get(f"{method} {target}")
        if background is not None:
            stream.read(int(headers.get("content-length", "0")))
            connection.sendall(answer_of({"status": 200, "headers": {"connection": "close"}, "json": background}))
            return False
        with self._changed:
            steps = self.case["answers"]
            step = steps[min(len(self.request_ids), len(steps) - 1)]
            self.request_ids.append(headers["tq-request-id"])
        if step["do"] != "refuse":
            stream.read(int(headers.get("content-length", "0")))
        return self._act(connection, step)

    def _act(self, connection: socket.socket, step: dict[str, Any]) -> bool:
        kind = step["do"]
        if kind == "hang":
            connection.recv(1)
        elif kind == "raw":
            connection.sendall(step["text"].encode())
        elif kind == "cut":
            connection.sendall(answer_of(step)[: step["sent_bytes"]])
        elif kind == "trickle":
            for byte in answer_of(step):
                connection.sendall(bytes([byte]))
                time.sleep(step["pause_ms"] / 1000)
        elif kind in ("answer", "refuse"):
            connection.sendall(answer_of(step))
            if kind == "refuse":
                # Closing with unread bytes resets the connection.
                return False
            return not (self.case.get("warm") and len(self.request_ids) == 1)
        return False


def answer_of(step: dict[str, Any]) -> bytes:
    if "json" in step:
        body = json.dumps(step["json"]).encode()
    elif "text" in step:
        body = step["text"].encode()
    else:
        body = bytes.fromhex(SCRIPT["bodies"][step["body"]])
    headers = {**step["headers"], "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {step['status']} Status\r\n{head}\r\n".encode() + body


@contextmanager
def serve_faults(case: dict[str, Any]) -> Iterator[FaultServer]:
    server = FaultServer(case)
    try:
        yield server
    finally:
        server.close()
