"""What a loader and its workers tell each other: a few numbers in shared memory. The workers write turn and idle,
the loader all others.

    stopping        1: the iteration is over
    waiting_since   when the trainer began to wait for the batch that it waits for (monotonic ns); 0: it does not wait
    held_rows       rows that the trainer holds, un-acked, while it waits
    turn            number of the shared batch that is to be claimed next, by the worker whose number it is; -1: none is
    received[w]     how many batches of worker w the trainer was given
    idle[n]         1: node n had nothing more when it was last asked for a shared batch

Invariants: the turn only rises until it is nobody's; the worker that has it passes it on, and notes what nodes have; a
batch counts as received from before the trainer gets it, and by then the loader renews its lease; so what a worker does
not find received was never seen by a trainer, and is the worker's to renew or to release.
"""

from __future__ import annotations

import time
from typing import Final

import torch

STOPPING: Final = 0
WAITING_SINCE: Final = 1
HELD_ROWS: Final = 2
TURN: Final = 3
RECEIVED: Final = 4
# No worker's turn.
NOBODY: Final = -1


class Link:
    """One per iteration, for ``nodes_max`` nodes. Aligned numbers of 64 bits are read and written whole."""

    def __init__(self, num_workers: int, *, nodes_max: int = 1, turn: int = 0) -> None:
        self.workers = max(num_workers, 1)
        self._idle_at = RECEIVED + self.workers
        self._numbers = torch.zeros(self._idle_at + nodes_max, dtype=torch.int64)
        self._numbers[TURN] = turn
        if num_workers > 0:
            self._numbers.share_memory_()  # type: ignore[no-untyped-call]

    # ---- The loader ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._numbers[STOPPING] = 1

    def begin_wait(self, held_rows: int) -> None:
        self._numbers[HELD_ROWS] = held_rows
        self._numbers[WAITING_SINCE] = time.monotonic_ns()

    def end_wait(self) -> None:
        self._numbers[WAITING_SINCE] = 0

    def receive(self, worker: int, number: int) -> None:
        """Says that the batch of this number, counted from 0, is the trainer's."""
        self._numbers[RECEIVED + worker] = number + 1

    # ---- The workers ---------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        return bool(self._numbers[STOPPING])

    @property
    def waiting_since(self) -> int:
        return int(self._numbers[WAITING_SINCE])

    @property
    def held_rows(self) -> int:
        """0 as long as the trainer does not wait: it may ack them then."""
        return int(self._numbers[HELD_ROWS]) if self.waiting_since else 0

    @property
    def turn(self) -> int:
        return int(self._numbers[TURN])

    def has_turn(self, worker: int) -> bool:
        return self.turn != NOBODY and self.turn % self.workers == worker

    def pass_turn(self) -> None:
        self._numbers[TURN] += 1

    def end_turns(self) -> None:
        """No worker claims a shared batch any more."""
        self._numbers[TURN] = NOBODY

    def note_node(self, node: int, *, idle: bool) -> None:
        """Notes whether a node had nothing more."""
        self._numbers[self._idle_at + node] = int(idle)

    @property
    def idle_nodes(self) -> int:
        """How many nodes had nothing more."""
        return int(self._numbers[self._idle_at :].sum())

    def received(self, worker: int) -> int:
        return int(self._numbers[RECEIVED + worker])
