"""Arrow streams of our own making, judged by pyarrow, and answers that are none, refused as AnswerInvalid."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cells import LENGTHS, rows_of
from transferq import Batch, Dense, Json, Layout, Ragged, Scalar, Text
from transferq._batch import Part
from transferq._encode import encode_body, encode_column, encode_ids
from transferq._http import Answer
from transferq._ipc import ALIGNMENT, END_OF_STREAM, batch_message, read_frame, schema_message
from transferq.errors import AnswerInvalid, TransferQueueError

LAYOUTS: dict[str, Layout] = {
    "d": Dense("float32", (2, 3)),
    "r": Ragged("int64"),
    "v": Ragged("float16", (None, 4)),
    "s": Scalar("bool"),
    "t": Text(),
    "j": Json(),
}


def stream(lengths: list[int]) -> bytes:
    columns = [(name, encode_column(rows_of(layout, lengths), layout, name)) for name, layout in LAYOUTS.items()]
    return b"".join(encode_body(encode_ids(range(len(lengths))), columns).pieces)


def batch_of(data: bytes) -> Batch:
    return Batch([Part(Answer(200, {}, np.frombuffer(bytearray(data), np.uint8)))])


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_every_part_of_a_stream_is_aligned(lengths: list[int]) -> None:
    data = stream(lengths)
    frame = read_frame(memoryview(data))
    assert frame.rows == len(lengths)
    assert all(at % ALIGNMENT == 0 for at, _ in frame.buffers)
    assert data.endswith(END_OF_STREAM)
    sent = pa.ipc.open_stream(data).read_next_batch()
    assert [size for _, size in frame.buffers if size] == [
        buffer.size for buffer in flat_buffers(sent) if buffer is not None and buffer.size
    ]


def flat_buffers(batch: pa.RecordBatch) -> list[Any]:
    return [buffer for column in batch.columns for buffer in column.buffers()]


def test_messages_are_the_ones_that_pyarrow_makes_but_for_their_place() -> None:
    for count in (1, 2, 7, 300):
        buffers = [(64 * at, at) for at in range(count)]
        message = batch_message(5, range(count), buffers, 64 * count)
        assert len(message) % ALIGNMENT == 0
        read = pa.ipc.read_message(message + bytes(64 * count))
        assert read.type == "record batch"
        assert read.body.size == 64 * count
    schema = pa.ipc.read_schema(pa.py_buffer(schema_message((("x", Scalar("int8")),))))
    assert schema.names == ["index_id", "x"]


def test_answers_of_pyarrow_are_read() -> None:
    """Another writer: other flatbuffers, 8-byte alignment, offsets that do not begin at 0, validity buffers."""
    table = pa.table(
        {
            "index_id": pa.array([1, 2, 3]),
            "r": pa.array([[9], [1, 2], [], [3]], pa.list_(pa.int32())).slice(1),
            "t": pa.array(["zz", "a", "", "bc"]).slice(1),
            "s": pa.array([1.5, 2.5, 3.5]),
        }
    ).cast(
        pa.schema(
            [
                pa.field("index_id", pa.int64(), nullable=False),
                ("r", pa.list_(pa.int32())),
                ("t", pa.utf8()),
                ("s", pa.float64()),
            ]
        )
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    batch = batch_of(sink.getvalue())
    assert batch["r"].list() == [[1, 2], [], [3]]
    assert batch["t"].list() == ["a", "", "bc"]
    assert batch["s"].numpy().tolist() == [1.5, 2.5, 3.5]


def test_non_zero_first_offsets_are_taken_off() -> None:
    data = bytearray(stream([1, 2]))
    frame = read_frame(memoryview(data))
    # Buffers of "r": index_id has 2, "d" 3; then validity, offsets.
    at, _ = frame.buffers[6]
    np.frombuffer(data, np.int32, 3, at)[:] = [1, 1, 3]
    column = batch_of(bytes(data))["r"]
    assert column.offsets is not None
    assert column.offsets.tolist() == [0, 0, 2]
    assert len(column.values) == 2


def test_truncated_answers_are_refused() -> None:
    data = stream([0, 3, 1])
    frame = read_frame(memoryview(data))
    end = max(at + size for at, size in frame.buffers)
    for size in range(0, end, 7):
        with pytest.raises(TransferQueueError):
            touch(batch_of(data[:size]))


def touch(batch: Batch) -> None:
    for name in batch:
        batch[name].list()


def test_changed_bytes_raise_nothing_but_our_errors() -> None:
    """Checksums catch such answers first; this is what stands behind them."""
    data = stream([0, 3, 1, 2])
    metadata_end = min(at for at, _ in read_frame(memoryview(data)).buffers)
    chance = random.Random(7)
    refused = 0
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(metadata_end)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        try:
            batch_of(bytes(changed)).arrow()
        except AnswerInvalid:
            refused += 1
        except (TransferQueueError, UnicodeDecodeError, pa.ArrowException):
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("data", [b"", b"x", bytes(8), bytes(100), END_OF_STREAM, b"\xff" * 100], ids=repr)
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(AnswerInvalid):
        batch_of(data)


def test_falling_offsets_and_wrong_shapes_are_refused() -> None:
    good = stream([1, 2])
    frame = read_frame(memoryview(good))

    def with_numbers(buffer: int, numbers: list[int]) -> Batch:
        data = bytearray(good)
        np.frombuffer(data, np.int32, len(numbers), frame.buffers[buffer][0])[:] = numbers
        return batch_of(bytes(data))

    for numbers in ([0, 3, 2], [0, -1, 3], [-1, 1, 3], [0, 1, 1 << 30]):
        with pytest.raises(AnswerInvalid):
            with_numbers(6, numbers)["r"]
    # index_id 2, d 3, r 4, then v: struct, data, offsets, validity, values, shape, validity, shapes.
    assert with_numbers(9 + 7, [1, 4, 2, 4])["v"].numpy()[1].shape == (2, 4)
    for numbers in ([2, 4, 2, 4], [-1, -4, 2, 4]):
        with pytest.raises(AnswerInvalid):
            with_numbers(9 + 7, numbers)["v"]
