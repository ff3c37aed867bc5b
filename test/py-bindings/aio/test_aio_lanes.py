"""The threads of a client by themselves: bounds, queues, callers who leave, and ends."""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import threading
import time
import weakref

import pytest
from aio_support import PATIENCE_S, eventually
from transferq import ClientClosed
from transferq._blob_calls import at_once
from transferq._cancel import CallCancelled, Cancellation, current_cancellation, uncancelled
from transferq.aio import _lanes
from transferq.aio._calls import Leaving
from transferq.aio._threads import Threads


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Two threads per lane, which do not linger for long."""
    for name in ("WAITS_MAX", "ACTS_MAX", "ENDS_MAX"):
        monkeypatch.setattr(_lanes, name, 2)
    monkeypatch.setattr(_lanes, "LINGER_S", 0.05)
    return Threads()


def test_threads_are_bounded_and_end(few: Threads) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1

    async def main() -> None:
        await asyncio.gather(*(few.run(work) for _ in range(50)))

    asyncio.run(main())
    assert most == 2
    eventually(lambda: few.count == 0)
    asyncio.run(main())
    assert few.count == 2


def test_calls_begin_in_the_order_of_their_coming(few: Threads) -> None:
    opened = threading.Event()
    order: list[int] = []

    async def main() -> None:
        blocked = [asyncio.ensure_future(few.run(opened.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        calls = [asyncio.ensure_future(few.run(lambda number=number: order.append(number))) for number in range(20)]
        await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*blocked, *calls)

    asyncio.run(main())
    # Two threads take them in order, and may overtake each other by one.
    assert all(abs(number - place) <= 1 for place, number in enumerate(order))


def test_ends_do_not_stand_behind_acts_nor_acts_behind_waits(few: Threads) -> None:
    opened = threading.Event()

    async def main() -> None:
        blocked = [
            asyncio.ensure_future(few.run(opened.wait, lane=lane)) for lane in ("waits", "acts") for _ in range(5)
        ]
        await asyncio.sleep(0)
        assert await few.run(lambda: "acked", lane="ends") == "acked"
        opened.set()
        await asyncio.gather(*blocked)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_cancelled_each_result_goes_to_its_caller_or_to_undo(few: Threads, seed: int) -> None:
    chance = random.Random(seed)
    begun: list[int] = []
    undone: list[int] = []
    received: list[int] = []

    def work(number: int, pause_s: float) -> int:
        begun.append(number)
        time.sleep(pause_s)
        return number

    async def one(number: int) -> None:
        pause_s = chance.random() * 0.002
        lane = chance.choice(["waits", "acts", "ends"])
        leavings: list[Leaving] = ["settle", "finish"]
        leaving = chance.choice(leavings)
        received.append(await few.run(lambda: work(number, pause_s), lane=lane, leaving=leaving, undo=undone.append))

    async def main() -> None:
        tasks = [asyncio.ensure_future(one(number)) for number in range(100)]
        for task in chance.sample(tasks, 50):
            await asyncio.sleep(chance.random() * 0.002)
            task.cancel()
        await asyncio.wait(tasks)
        few.settle(few.left())

    asyncio.run(main())
    eventually(lambda: len(received) + len(undone) == len(begun))
    assert sorted(received + undone) == sorted(begun)
    assert len(set(begun)) == len(begun)


def test_no_call_stands_behind_a_thread_that_is_taken(few: Threads) -> None:
    """One thread is idle; of two calls that come at once, the first waits for the second."""
    opened = threading.Event()

    async def main() -> None:
        await few.run(lambda: None)
        await asyncio.gather(few.run(opened.wait), few.run(opened.set))

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_an_idle_thread_holds_nothing(few: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lanes, "LINGER_S", 1000.0)

    async def main() -> None:
        data = {1, 2, 3}
        kept = weakref.ref(data)
        await few.run(functools.partial(len, data))
        del data
        eventually(lambda: kept() is None)
        assert few.count == 1
        await few.run(few.close, lane="close")

    asyncio.run(main())


def test_a_caller_who_leaves_the_queue_was_never_there(few: Threads) -> None:
    opened = threading.Event()
    begun: list[int] = []

    async def main() -> None:
        blocked = [asyncio.ensure_future(few.run(opened.wait)) for _ in range(2)]
        queued = [asyncio.ensure_future(few.run(lambda number=number: begun.append(number))) for number in range(3)]
        await asyncio.sleep(0.02)
        queued[1].cancel()
        await asyncio.wait([queued[1]])
        opened.set()
        await asyncio.gather(*blocked, queued[0], queued[2])

    asyncio.run(main())
    assert sorted(begun) == [0, 2]


def test_a_cancel_between_result_and_caller_undoes_the_result(few: Threads) -> None:
    undone: list[str] = []

    async def main() -> None:
        task = asyncio.ensure_future(few.run(lambda: "granted", undo=undone.append))
        await asyncio.sleep(0)
        # The loop is held up, so that the result lies ready when the cancel comes.
        eventually(lambda: not few._running and not few._lanes["acts"].queue)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    eventually(lambda: undone == ["granted"])


def test_close_wakes_everybody_and_gives_back_what_was_left(few: Threads) -> None:
    opened = threading.Event()
    given_back: list[int] = []

    def cut() -> None:
        cancellation = current_cancellation()
        assert cancellation is not None
        cancellation.wait(100.0)
        raise CallCancelled()

    async def main() -> None:
        calls = [asyncio.ensure_future(few.run(cut)) for _ in range(6)]
        await asyncio.sleep(0.02)
        for number in range(10):
            few.soon(lambda number=number: (opened.wait(0.01), given_back.append(number)))
        await few.run(few.close, lane="close")
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, ClientClosed)
        assert sorted(given_back) == list(range(10))
        with pytest.raises(ClientClosed):
            await few.run(lambda: None)
        few.soon(lambda: given_back.append(99))

    asyncio.run(main())
    eventually(lambda: few.count == 0)
    assert 99 not in given_back


def test_errors_reach_their_caller_and_hold_nothing(few: Threads) -> None:
    class Data:
        pass

    def fail(data: Data) -> None:
        raise LookupError(data.__class__.__name__)

    async def main() -> weakref.ref[Data]:
        data = Data()
        with pytest.raises(LookupError, match="Data"):
            await few.run(lambda: fail(data))
        return weakref.ref(data)

    gc.disable()
    try:
        data = asyncio.run(main())
        eventually(lambda: data() is None)
    finally:
        gc.enable()


def test_a_finalizer_may_run_where_the_lock_is_held(few: Threads) -> None:
    done = threading.Event()
    with few._lock:
        few.soon(done.set)
    assert done.wait(10.0)


def test_a_bug_of_what_nobody_waits_for_is_told(few: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr("threading.excepthook", lambda arguments: told.append(arguments.exc_type))
    few.soon(lambda: 1 // 0)
    eventually(lambda: told == [ZeroDivisionError])


def test_a_thread_that_cannot_start(few: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        opened = threading.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="start new thread"):
                await few.run(lambda: None)
            few.soon(lambda: None)
            assert (few.count, few.left()) == (0, frozenset())
        first = asyncio.ensure_future(few.run(opened.wait))
        await asyncio.sleep(0.02)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            # There is one thread, and this waits for it.
            second = asyncio.ensure_future(few.run(lambda: "done"))
            await asyncio.sleep(0)
        opened.set()
        assert await second == "done"
        await first

    asyncio.run(main())


# ---- Cancellation ------------------------------------------------------------------------------------------------


def test_an_interrupt_reaches_only_what_is_at_hand() -> None:
    cut: list[str] = []
    cancellation = Cancellation()
    with cancellation:
        assert current_cancellation() is cancellation
        with cancellation.interrupted_by(lambda: cut.append("first")):
            pass
        with cancellation.interrupted_by(lambda: cut.append("second")):
            cancellation.cancel()
        cancellation.cancel()
        with pytest.raises(CallCancelled), cancellation.interrupted_by(lambda: cut.append("third")):
            raise AssertionError
        with uncancelled():
            assert current_cancellation() is None
        cancellation.wait(1000.0)
    assert cut == ["second"]
    assert current_cancellation() is None


def test_all_that_a_call_does_at_once_is_cut() -> None:
    cut: list[int] = []
    cancellation = Cancellation()
    under_way = threading.Barrier(4)

    def act(item: int) -> None:
        ended = threading.Event()
        own = current_cancellation()
        assert own is not None
        with own.interrupted_by(lambda: (cut.append(item), ended.set())[0]):
            under_way.wait(PATIENCE_S)
            assert ended.wait(PATIENCE_S)

    def call() -> None:
        with cancellation:
            at_once(act, range(3))

    thread = threading.Thread(target=call)
    thread.start()
    under_way.wait(PATIENCE_S)
    cancellation.cancel()
    thread.join()
    assert sorted(cut) == [0, 1, 2]
