"""How long a parked claim sleeps on after the put that makes its row ready.

    consumer   POST claims --parked--------------------------> rows        one event loop sees both answers
    producer                 POST rows --> commit --> LSN

With many waiters for one task each put wakes one of them, which then parks again; the others must not cost anything.
"""

from __future__ import annotations

import selectors
import statistics
import time

import numpy as np
from transferq import Partition
from transferq._encode import encode_body, encode_column, encode_ids
from wire_http import RawClient, request
from wire_measure import checked, print_figure

ARROW = "content-type: application/vnd.apache.arrow.stream\r\n"
PAUSE_S = 0.002


def bench_wake_up(train: Partition, *, waiters: int, puts: int) -> None:
    url, target = train.client.url, train.target
    small = memoryview(bytearray(1 << 20))
    claim = {"task": "t", "fields": ["x"], "rows_max": 1, "lease_ms": 600_000, "wait_ms": 60_000, "auto_ack": True}
    ask = request("POST", f"{target}/claims", body=claim)
    consumers = [RawClient(url, small) for _ in range(waiters)]
    producer = RawClient(url, small)
    selector = selectors.DefaultSelector()
    for consumer in consumers:
        consumer.send(ask)
        selector.register(consumer.socket, selectors.EVENT_READ, consumer)
    selector.register(producer.socket, selectors.EVENT_READ, producer)
    value = np.random.default_rng(3).random((1, 256), np.float32)
    totals, after_answer = [], []
    for index in range(puts):
        time.sleep(PAUSE_S if index else 1.0)
        value[0, 0] = index
        pieces = encode_body(encode_ids([index]), [("x", encode_column(value, train.fields["x"], "x"))]).pieces
        body = b"".join(pieces)
        put = request("POST", f"{target}/rows", headers=ARROW, body=body) + body
        start = time.perf_counter()
        producer.send(put)
        seen: dict[bool, float] = {}
        while len(seen) < 2:
            for key, _ in selector.select():
                client: RawClient = key.data
                answer = client.answer()
                seen[client is producer] = time.perf_counter() - start
                if client is not producer:
                    checked(value.tobytes() in bytes(answer), "claimed row")
                    client.send(ask)
        totals.append(1e3 * seen[False])
        after_answer.append(1e3 * max(0.0, seen[False] - seen[True]))
    for one in (*consumers, producer):
        one.close()
    case = f"claim wakes, {waiters} parked, ack {train.ack}"
    for metric, values in (("put to rows", totals), ("answer to rows", after_answer)):
        print_figure(case, f"{metric} p50", "ms", "lower", chunk(values, 0.5))
        print_figure(case, f"{metric} p99", "ms", "lower", [quantile(values, 0.99)])


def chunk(values: list[float], share: float) -> list[float]:
    """The quantile of each hundred, less the first, which warms up."""
    return [quantile(values[at : at + 100], share) for at in range(100, len(values), 100)]


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
