"""The `core` suite from CPython: core.wasm under wasmtime against the native xxhash package. See core.ts, its caller.

Prints one JSON object per figure: case, metric, unit, better, ours (one value per round), peer, peerName.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable

import numpy as np
import xxhash
from transferq._core import BodyHasher, core

BODY_SIZE = 64 << 20
CHUNK_SIZE = 1 << 20

Round = Callable[[], float]


def rate(size: int, call: Callable[[], object]) -> Round:
    """GB/s (1e9 bytes) of a call that handles ``size`` bytes."""
    return lambda: size / 1e9 / seconds(call)


def per_item(count: int, call: Callable[[], object]) -> Round:
    """Microseconds per item of a call that handles ``count`` items."""
    return lambda: seconds(call) * 1e6 / count


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def repeat(count: int, call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            call()

    return run


def report(case: str, unit: str, better: str, rounds: int, ours: Round, peer: Round, peer_name: str) -> None:
    """Plays ours and the peer in turns after a round of warm-up, and prints what they took."""
    pairs = [(ours(), peer()) for _ in range(rounds + 1)][1:]
    our_values, peer_values = (list(values) for values in zip(*pairs, strict=True))
    metric = "rate" if better == "higher" else "time"
    figure = {"case": f"python: {case}", "metric": metric, "unit": unit, "better": better}
    print(json.dumps({**figure, "ours": our_values, "peer": peer_values, "peerName": peer_name}), flush=True)


def checked(got: object, expected: object, what: str) -> None:
    if got != expected:
        raise SystemExit(f"{what}: got {got}, expected {expected}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds = 7 if parser.parse_args().quick else 15

    body = memoryview(random.Random(1).randbytes(BODY_SIZE))
    source, target = np.frombuffer(body, np.uint8), np.zeros(BODY_SIZE, np.uint8)

    def hash_body() -> bytes:
        hasher = BodyHasher()
        for at in range(0, BODY_SIZE, CHUNK_SIZE):
            hasher.update(body[at : at + CHUNK_SIZE])
        return hasher.finish()

    def hash_blocks() -> bytes:
        blocks = b"".join(
            xxhash.xxh64_digest(body[at : at + CHUNK_SIZE])[::-1] for at in range(0, BODY_SIZE, CHUNK_SIZE)
        )
        return xxhash.xxh64_digest(blocks)[::-1]

    checked(hash_body(), hash_blocks(), "checksum")
    ours = rate(BODY_SIZE, hash_body)
    case = "body checksum, copy into WASM too"
    report(case, "GB/s", "higher", rounds, ours, rate(BODY_SIZE, hash_blocks), "native xxhash")
    report(case, "GB/s", "higher", rounds, ours, rate(BODY_SIZE, lambda: np.copyto(target, source)), "memcpy")
    checked(xxhash.xxh64_digest(target), xxhash.xxh64_digest(body), "memcpy")

    small = bytes(body[:1024])
    checked(core().xxh64(small), xxhash.xxh64_intdigest(small), "xxh64 of 1 KiB")
    our_hash = per_item(5000, repeat(5000, lambda: core().xxh64(small)))
    peer_hash = per_item(5000, repeat(5000, lambda: xxhash.xxh64_intdigest(small)))
    report("xxh64 of 1 KiB", "us/item", "lower", rounds, our_hash, peer_hash, "native xxhash")

    ids = np.arange(0, 1000 * 7919, 7919, dtype=np.int64)

    def route() -> list[int]:
        return core().shards_of_ids(ids, group_size=8, shards=64).tolist()

    def route_natively() -> list[int]:
        return [xxhash.xxh64_intdigest((number // 8).to_bytes(8, "little")) % 64 for number in ids.tolist()]

    checked(route(), route_natively(), "shards")
    our_route = per_item(50_000, repeat(50, route))
    report(
        "routing 1,000 ids",
        "us/item",
        "lower",
        rounds,
        our_route,
        per_item(50_000, repeat(50, route_natively)),
        "native xxhash, id by id",
    )


if __name__ == "__main__":
    main()
