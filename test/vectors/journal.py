"""Makes the frozen vectors of the journal from the description of its format alone: `python test/vectors/journal.py`.

Written by hand after the byte pictures in server/journal/format.ts and events.ts, so that a change of the code shows. A
record, once released, never changes: a new event gets a new type number and a new vector.
"""

import json
import pathlib
import struct
from typing import Any

import xxhash

HEX = bytes.fromhex
TYPES = [
    *["descriptor", "declare", "drop", "insert", "delete", "claim", "ack", "release", "seal"],
    *["checkpoint", "move", "rewrite", "batch", "requeue", "reset", "skip", "tag", "advance"],
    *["", "restore", "adopt"],
]
DELETE_REASONS = ["asked", "released", "evicted"]
RELEASE_REASONS = ["released", "expired", "undelivered"]
BATCH_OUTCOMES = ["timed_out", "drained"]
LEVELS = ["memory", "os", "disk"]

EVENTS: list[dict[str, Any]] = [
    {"type": "descriptor", "formatVersion": 1, "epoch": 3, "bootId": "b00t", "tokenKey": "00ff10", "voided": [7, 9]},
    {
        "type": "declare",
        "partition": 2,
        "settings": {
            "name": "train",
            "fields": [{"name": "image", "layout": {"layout": "dense", "dtype": "float32", "shape": [28, 28]}}],
            "open": False,
            "groupSize": 8,
            "ack": "os",
        },
    },
    {"type": "drop", "partition": 4_294_967_295},
    {
        "type": "insert",
        "partition": 2,
        "requestId": "put-1",
        "extent": {"segment": 12, "offset": 64, "length": 1_048_577, "blocks": "000102030405060708090a0b0c0d0e0f"},
        "batches": [
            {
                "rows": 2,
                "ids": [0, 9_007_199_254_740_991],
                "columns": [{"field": 0, "regions": [128, 12, 192, 3_136]}, {"field": 4_095, "regions": []}],
            },
            {"rows": 0, "ids": [], "columns": []},
        ],
        "ackClaim": 4_294_967_297,
    },
    {"type": "delete", "partition": 2, "requestId": "", "ids": [5, 4_294_967_296]},
    {
        "type": "claim",
        "partition": 2,
        "requestId": "claim-1",
        "task": "actor_update",
        "claim": 4_294_967_298,
        "epoch": 1,
        "fields": [0, 3],
        "ids": [8, 9, 10],
        "attempts": [1, 2, 65_535],
        "leaseMs": 30_000,
        "autoAck": True,
    },
    {"type": "ack", "partition": 2, "claim": 4_294_967_298, "requestId": "ack-1"},
    {"type": "release", "partition": 2, "claim": 4_294_967_299, "requestId": "grüße", "reason": "expired"},
    {"type": "release", "partition": 2, "claim": 4_294_967_299, "requestId": "", "reason": "released"},
    {"type": "seal", "partition": 2},
    {"type": "checkpoint", "lsn": 9_007_199_254_740_991},
    {
        "type": "move",
        "partition": 2,
        "extent": 4_294_967_300,
        "segment": 13,
        "offset": 4_294_967_360,
        "fromSegment": 12,
        "fromOffset": 64,
    },
    {
        "type": "rewrite",
        "partition": 2,
        "fromExtent": 4_294_967_300,
        "extent": {"segment": 13, "offset": 4_294_967_360, "length": 640, "blocks": "0001020304050607"},
        "batches": [
            {
                "batch": 4_398_046_515_201,
                "ids": [3, 9_007_199_254_740_991],
                "ordinals": [0, 262_143],
                "columns": [{"field": 0, "regions": [128, 12, 192, 3_136]}],
            },
            {"batch": 4_398_046_515_202, "ids": [], "ordinals": [], "columns": []},
        ],
    },
    {
        "type": "insert",
        "partition": 2,
        "requestId": "",
        "extent": {"segment": 12, "offset": 64, "length": 640, "blocks": "0001020304050607"},
        "batches": [{"rows": 2, "ids": [1, 2], "columns": [{"field": 0, "regions": [128, 12]}]}],
        "ackClaim": 0,
        "tags": ['{"status":"fertig"}', ""],
    },
    {"type": "delete", "partition": 2, "requestId": "", "ids": [5], "reason": "evicted"},
    {
        "type": "claim",
        "partition": 2,
        "requestId": "",
        "task": "actor_update",
        "claim": 4_294_967_300,
        "epoch": 1,
        "fields": [0],
        "ids": [8],
        "attempts": [1],
        "leaseMs": 30_000,
        "autoAck": False,
        "batch": {"name": "dp", "number": 4_294_967_296, "part": 1, "parts": 4_096},
    },
    {"type": "release", "partition": 2, "claim": 4_294_967_299, "requestId": "", "reason": "undelivered"},
    {
        "type": "batch",
        "partition": 2,
        "task": "actor_update",
        "name": "dp",
        "number": 4_294_967_297,
        "parts": 2,
        "outcome": "drained",
    },
    {"type": "requeue", "partition": 2, "task": "judge", "ids": [5, 4_294_967_296]},
    {"type": "reset", "partition": 2, "task": "judge", "requestId": "reset-1"},
    {"type": "skip", "partition": 2, "task": "actor_update", "fields": [0, 3], "ids": [7]},
    {"type": "tag", "partition": 2, "requestId": "tag-1", "ids": [1, 2], "tags": ['{"a":null}']},
    {"type": "advance", "partition": 2, "version": 9_007_199_254_740_991},
    {"type": "restore", "partition": 3, "last": True, "bytes": "00ff10"},
    {"type": "adopt", "pairs": [{"partition": 3, "name": "train", "replaced": 2}]},
]


def u8(value: int) -> bytes:
    return struct.pack("<B", value)


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def sized(value: bytes) -> bytes:
    return u32(len(value)) + value


def text(value: str) -> bytes:
    return sized(value.encode())


def numbers(values: list[int]) -> bytes:
    return u32(len(values)) + b"".join(map(u64, values))


def payload(e: dict[str, Any]) -> bytes:
    """The fields of an event in the order of its codec."""
    match e["type"]:
        case "descriptor":
            head = u32(e["formatVersion"]) + u64(e["epoch"]) + text(e["bootId"])
            return head + sized(HEX(e["tokenKey"])) + numbers(e["voided"])
        case "declare":
            return u32(e["partition"]) + text(json.dumps(e["settings"], separators=(",", ":")))
        case "drop" | "seal":
            return u32(e["partition"])
        case "insert":
            return insert(e)
        case "delete":
            reason = u8(DELETE_REASONS.index(e["reason"])) if "reason" in e else b""
            return u32(e["partition"]) + text(e["requestId"]) + numbers(e["ids"]) + reason
        case "claim":
            head = u32(e["partition"]) + text(e["requestId"]) + text(e["task"]) + u64(e["claim"]) + u64(e["epoch"])
            lists = numbers(e["fields"]) + numbers(e["ids"]) + b"".join(map(u16, e["attempts"]))
            return head + u32(e["leaseMs"]) + u8(e["autoAck"]) + lists + part(e.get("batch"))
        case "ack":
            return u32(e["partition"]) + u64(e["claim"]) + text(e["requestId"])
        case "release":
            head = u32(e["partition"]) + u64(e["claim"]) + text(e["requestId"])
            return head + u8(RELEASE_REASONS.index(e["reason"]))
        case "checkpoint":
            return u64(e["lsn"])
        case "move":
            to = u32(e["segment"]) + u64(e["offset"])
            return u32(e["partition"]) + u64(e["extent"]) + to + u32(e["fromSegment"]) + u64(e["fromOffset"])
        case "rewrite":
            return rewrite(e)
        case "restore":
            return u32(e["partition"]) + u8(e["last"]) + sized(HEX(e["bytes"]))
        case "adopt":
            pairs = [u32(pair["partition"]) + text(pair["name"]) + u32(pair["replaced"]) for pair in e["pairs"]]
            return u32(len(pairs)) + b"".join(pairs)
        case _:
            return u32(e["partition"]) + of_queue(e)


def of_queue(e: dict[str, Any]) -> bytes:
    """What follows the partition in events of tasks."""
    match e["type"]:
        case "batch":
            head = text(e["task"]) + text(e["name"]) + u64(e["number"]) + u16(e["parts"])
            return head + u8(BATCH_OUTCOMES.index(e["outcome"]))
        case "requeue":
            return text(e["task"]) + numbers(e["ids"])
        case "reset":
            return text(e["requestId"]) + text(e["task"])
        case "skip":
            return text(e["task"]) + numbers(e["fields"]) + numbers(e["ids"])
        case "tag":
            return text(e["requestId"]) + numbers(e["ids"]) + texts(e["tags"])
        case "advance":
            return u64(e["version"])
    raise ValueError(e["type"])


def part(e: dict[str, Any] | None) -> bytes:
    return b"" if e is None else text(e["name"]) + u64(e["number"]) + u16(e["part"]) + u16(e["parts"])


def texts(values: list[str]) -> bytes:
    return u32(len(values)) + b"".join(map(text, values))


def insert(e: dict[str, Any]) -> bytes:
    out = u32(e["partition"]) + text(e["requestId"]) + u64(e["ackClaim"]) + extent(e["extent"])
    out += u32(len(e["batches"]))
    for batch in e["batches"]:
        out += numbers(batch["ids"]) + columns(batch["columns"])
    return out + (texts(e["tags"]) if "tags" in e else b"")


def rewrite(e: dict[str, Any]) -> bytes:
    out = u32(e["partition"]) + u64(e["fromExtent"]) + extent(e["extent"]) + u32(len(e["batches"]))
    for batch in e["batches"]:
        out += u64(batch["batch"]) + numbers(batch["ids"]) + numbers(batch["ordinals"]) + columns(batch["columns"])
    return out


def extent(e: dict[str, Any]) -> bytes:
    return u32(e["segment"]) + u64(e["offset"]) + u64(e["length"]) + sized(HEX(e["blocks"]))


def columns(listed: list[dict[str, Any]]) -> bytes:
    return u32(len(listed)) + b"".join(u16(c["field"]) + numbers(c["regions"]) for c in listed)


def xxh64(data: bytes) -> bytes:
    return u64(xxhash.xxh64_intdigest(data))


def record(event: dict[str, Any], header: dict[str, Any]) -> bytes:
    """The header of 56 bytes, the payload, zeros up to a multiple of 8."""
    body = payload(event)
    kind, level = 1 + TYPES.index(event["type"]), LEVELS.index(header["level"])
    head = struct.pack("<4sIQQHHIQ", b"TQRC", len(body), header["lsn"], header["timestamp"], kind, level,
                       header["epoch"], header["watermark"])  # fmt: skip
    head += xxh64(body)
    return head + xxh64(head) + body + bytes(-len(body) % 8)


def file_header(number: int, lsn_before: int) -> bytes:
    head = struct.pack("<8sIIQQQ", b"TQJOURNL", 1, 0, number, lsn_before, 0)
    return head + xxh64(head)


def main() -> None:
    records = []
    for i, event in enumerate(EVENTS):
        header = {
            "lsn": 2**40 + i,
            "timestamp": 2**50 + i,
            "level": LEVELS[i % 3],
            "epoch": 3,
            "watermark": 2**40 + i - 1,
        }
        records.append({"event": event, **header, "record": record(event, header).hex()})
    files = [
        {"number": n, "lsnBefore": lsn, "header": file_header(n, lsn).hex()} for n, lsn in [(1, 0), (2**33, 2**52)]
    ]
    path = pathlib.Path(__file__).with_name("journal.json")
    path.write_text(json.dumps({"files": files, "records": records}, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
