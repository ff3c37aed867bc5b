"""The client: one server (or cluster) as its users see it, and what its partitions share.

Invariants: making one opens no socket and starts no thread; a forked child starts with no connection, lease or WASM
instance of its parent; a pickled client carries no token.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final

from transferq._blob_calls import CACHE_BYTES_MAX, BlobCache
from transferq._checkpoint_files import Checkpoint
from transferq._checkpoints import load_checkpoint, save_checkpoint
from transferq._claims import end_claim, renew
from transferq._http import Origin
from transferq._layouts import Layout
from transferq._partition import Partition
from transferq._policies import Nothing, Pace, Retention, Task, declaration
from transferq._protocol import LIMITS, NAME_PATTERN
from transferq._renewals import Lease, Renewer
from transferq._shards import Shards
from transferq._snapshots import Snapshot, open_snapshot
from transferq._transport import Request, RetryPolicy, Transport
from transferq.errors import AnswerInvalid, FixRequest, error_of

DEFAULT_URL: Final = "http://127.0.0.1:7654"
TIMEOUT_S: Final = 30.0
POOL_SIZE: Final = 8
SNAPSHOT_LEASE_S: Final = 60.0
IDLE_BUFFER_BYTES_MAX: Final = 2 << 30
TOKEN_PATTERN: Final = r"[\x21-\x7e]+"


class Client:
    """A connection to one server or cluster; made by `connect`. May be used by several threads.

    After ``fork`` the child's copy opens connections of its own; a lease that was renewed in the parent is renewed
    there. A client pickles as its URL and settings. **The token is not pickled**: the process that unpickles takes
    it from ``TQ_TOKEN``, so that no token ends up in a file or in the memory of a process that should not have it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        pool_size: int = POOL_SIZE,
        retry: RetryPolicy | None = None,
        idle_buffer_bytes_max: int = IDLE_BUFFER_BYTES_MAX,
        blob_cache_bytes_max: int = CACHE_BYTES_MAX,
    ) -> None:
        # The package is complete when a client is made, not yet when this module is read.
        from transferq import __version__

        token = token or os.environ.get("TQ_TOKEN") or None
        if token is not None and not re.fullmatch(TOKEN_PATTERN, token):
            raise FixRequest("A token is printable ASCII without spaces.", code="header_invalid")
        if not timeout_s > 0:
            raise FixRequest(f"timeout_s must be positive, not {timeout_s}.", code="header_invalid")
        self.home = Origin.of(url or os.environ.get("TQ_URL") or DEFAULT_URL)
        self._settings = {
            "timeout_s": timeout_s,
            "pool_size": pool_size,
            "retry": retry or RetryPolicy(),
            "idle_buffer_bytes_max": idle_buffer_bytes_max,
            "blob_cache_bytes_max": blob_cache_bytes_max,
        }
        self.transport = Transport(
            token=token,
            timeout_s=timeout_s,
            pool_size=pool_size,
            retry=retry or RetryPolicy(),
            idle_bytes_max=idle_buffer_bytes_max,
            agent=f"transferq/{__version__}",
        )
        self.blob_cache = BlobCache(blob_cache_bytes_max)
        self.shards = Shards(self.transport, self.home)
        # The renewer does not refer to the client, so that one that nobody closed can be collected.
        shards = self.shards
        self.renewer = Renewer[Lease](lambda lease: renew(shards, lease))
        self._start_anew()
        _clients.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[str, int] | None = None
        self._partitions: dict[str, Partition] = {}
        self._turns = itertools.count()

    def reset_after_fork(self) -> None:
        """Forgets what belongs to the parent process: sockets, locks, threads, leases."""
        self.transport.reset()
        self.blob_cache.reset()
        self.shards.reset()
        self.renewer.reset()
        self._start_anew()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickle, (self.url, self._settings))

    @property
    def url(self) -> str:
        return self.home.url

    def close(self) -> None:
        """Closes connections and ends renewals; claims held end with their leases. A second call does nothing."""
        self.renewer.close()
        self.transport.close()
        self.blob_cache.reset()

    # ---- Partitions ----------------------------------------------------------------------------------------------

    def partition(
        self,
        name: str,
        fields: Mapping[str, Layout] | None = None,
        *,
        group_size: int | None = None,
        ack: str | None = None,
        open: bool | None = None,  # noqa: A002 - the word of the wire
        tasks: Mapping[str, Task] | Iterable[str] | None = None,
        release: str | None = None,
        numbers: Iterable[str] | None = None,
        rows_max: int | Nothing | None = None,
        bytes_max: int | Nothing | None = None,
        pace: Pace | Nothing | None = None,
        retention: Retention | Nothing | None = None,
    ) -> Partition:
        """Declares a partition, or attaches to one.

        With any setting the partition is created, or the setting is added to it or changed; the same declaration again
        changes nothing. With the name alone it must exist.

        Args:
            name: 1 to 128 letters, digits, ``_``, ``.``, ``@``, ``-``; the first one a letter, a digit or ``_``.
            fields: the layout of each field. With fields the partition is closed: it takes no others.
            group_size: rows of one prompt, which stay together; default 1.
            ack: how far a put must be before it is acknowledged: ``"memory"``, ``"os"`` (default: survives a crash
                of the server's process) or ``"disk"`` (survives a power cut).
            open: let the first put of a field declare it; default: only if there are no ``fields``.
            tasks: tasks that consume each row, as names or as name -> `Task`. Others may claim too, but no row waits
                for them. Later declarations add to them.
            release: ``"consumed"`` deletes rows that all declared tasks consumed; default ``"never"``.
            numbers: names of tags that are numbers, which samplers, windows and token budgets go by. Later declarations
                add to them.
            rows_max: budget of rows; ``"none"`` takes it back, as it does for the next three. A put of new rows beyond
                it waits or raises OverBudget, see `Partition.put`; no row is ever dropped for it.
            bytes_max: budget of stored bytes.
            pace: how far producers may be ahead; see `Pace`.
            retention: which consumed rows are evicted; see `Retention`.

        Raises:
            PartitionUnknown: there is none of this name, and no setting was given.
            PartitionConflict: it exists with other settings that cannot be changed, or a field has another layout.

        >>> val = tq.partition("val@step_12", fields={"loss": Scalar("float32")}, group_size=4, ack="memory")
        >>> val.fields, val.group_size
        ({'loss': Scalar(dtype='float32')}, 4)
        >>> tq.partition("rollouts", tasks=["reward", "actor"], release="consumed", rows_max=65536).stats()["release"]
        'consumed'
        """
        if not re.fullmatch(NAME_PATTERN, name):
            raise error_of("name_invalid", details={"partition": name[:200]})
        target = f"/v1/partitions/{name}"
        given: dict[str, Any] = {"group_size": group_size, "ack": ack, "open": open}
        body = {key: value for key, value in given.items() if value is not None}
        if fields is not None:
            body["fields"] = {field: layout.to_json() for field, layout in fields.items()}
        body |= declaration(
            tasks=tasks,
            release=release,
            numbers=numbers,
            rows_max=rows_max,
            bytes_max=bytes_max,
            pace=pace,
            retention=retention,
        )
        settings = self._declare(target, body) if body else self.get_json(target)
        found = Partition(self, name, settings)
        with self._lock:
            self._partitions[name] = found
        return found

    def _declare(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        """Declares it at every node; the settings that are then in force."""
        request = Request("PUT", target, json.dumps(body).encode())
        answers = [self.transport.call(origin, request).json() for origin in self.shards.current.origins]
        settings: dict[str, Any] = answers[-1]
        return settings

    def partitions(self) -> list[dict[str, Any]]:
        """The partitions with their statistics, as `Partition.stats` gives them."""
        listed: list[dict[str, Any]] = self.get_json("/v1/partitions")["partitions"]
        return listed

    # ---- Snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self, lease_s: float = SNAPSHOT_LEASE_S) -> Snapshot:
        """Holds the state of now, so that many reads see the same rows whatever is put or deleted meanwhile.

        What it holds is not given back before it is closed: close it, best by ``with``, and keep leases short.

        Args:
            lease_s: how long it is held without a renewal (seconds).

        Raises:
            WaitForOthers: as many are open as the server allows (code ``too_many_snapshots``).

        >>> with tq.snapshot(lease_s=60) as snapshot:
        ...     deleted = train.delete([9])
        ...     train.get([9], lsn=snapshot.lsn)["response"].list()
        [[4]]
        """
        return open_snapshot(self, lease_s)

    # ---- Checkpoints ---------------------------------------------------------------------------------------------

    def save_checkpoint(
        self, directory: str | os.PathLike[str], metadata: Any = None, partitions: Iterable[str] | None = None
    ) -> Checkpoint:
        """Saves partitions into a directory: rows, tags, settings, and what each task has consumed, as of one moment.

        Producers and consumers go on meanwhile. Rows that are leased are unclaimed in the checkpoint. A checkpoint that
        is in the directory already stays whole until the new one takes its place; one save at a time.

        Args:
            directory: made if it is not there; on a disk of the client.
            metadata: JSON value to keep with it, such as the step of the training.
            partitions: names; default: all but those of ack level ``"memory"``, which are not saved.

        Raises:
            PartitionUnknown: one of the names is unknown, or of ack level ``"memory"``.
            WaitForOthers: the server's disk is full, or it has too many snapshots open.

        >>> saved = tq.save_checkpoint(directory, {"step": 12}, partitions=[train.name])
        >>> saved.metadata, saved.partitions[train.name]
        ({'step': 12}, 2)
        """
        return save_checkpoint(self, directory, metadata, partitions)

    def load_checkpoint(
        self,
        directory: str | os.PathLike[str],
        partitions: Iterable[str] | None = None,
        *,
        replace: bool = False,
    ) -> Checkpoint:
        """Brings the partitions of a checkpoint into this server, empty or running: all of them, or nothing.

        All files are checked before anything is sent, and nobody sees the partitions before all of them are complete
        and durable. Claims of before are unknown to the server; what they held is claimable.

        Args:
            directory: where `save_checkpoint` of this or another client put it.
            partitions: names; default: all of the checkpoint.
            replace: drop partitions of the same names, with their rows and claims, as the loaded ones appear.

        Raises:
            CheckpointInvalid: there is no checkpoint, or it is damaged, or of another version.
            PartitionExists: the server has a partition of this name, and ``replace`` is false.
            PartitionUnknown: the checkpoint has no partition of this name.
            OverBudget, BodyTooLarge: there is no room for its rows, or for the states of so many partitions at once.
            ConnectionFailed: when the connection breaks during the last call, all may be loaded or nothing.

        >>> saved = tq.save_checkpoint(directory, {"step": 12}, partitions=[train.name])
        >>> tq.load_checkpoint(directory, replace=True).metadata["step"]
        12
        """
        loaded = load_checkpoint(self, directory, partitions, replace=replace)
        with self._lock:
            self._partitions.clear()
        return loaded

    # ---- Single cells --------------------------------------------------------------------------------------------

    def write_matrix(self, index_id: int, field: str, matrix: Any, *, partition: str | Partition) -> int:
        """Puts one cell: array, tensor, number, text, bytes or JSON value, by the layout of its field. Returns the LSN.

        >>> lsn = tq.write_matrix(7, "advantage", np.array([0.5, -0.5], np.float32), partition="cells")
        >>> tq.read_matrix(7, "advantage", partition="cells")
        array([ 0.5, -0.5], dtype=float32)
        """
        return self._attached(partition).put({field: [matrix]}, index_ids=[index_id]).lsn

    def read_matrix(self, index_id: int, field: str, *, partition: str | Partition, wait_s: float = 0.0) -> Any:
        """Reads one cell: a NumPy view (bfloat16 as uint16), a NumPy number for scalars, or a str, bytes or JSON value.

        Raises RowsMissing, TimedOut or Drained as `Partition.get` does.
        """
        return self._attached(partition).get([index_id], fields=[field], wait_s=wait_s)[field].numpy()[0]

    def _attached(self, partition: str | Partition) -> Partition:
        if isinstance(partition, Partition):
            return partition
        with self._lock:
            found = self._partitions.get(partition)
        return found or self.partition(partition)

    # ---- The server ----------------------------------------------------------------------------------------------

    def limits(self) -> dict[str, int]:
        """The server's limits, sizes in bytes and times in milliseconds; asked for once.

        >>> tq.limits()["put_rows_max"]
        262144
        """
        found = self._limits
        if found is None:
            published = self.get_json("/v1/limits")
            if not isinstance(published, dict):
                raise AnswerInvalid("The limits of the server are not understood.")
            self._limits = found = LIMITS | {name: value for name, value in published.items() if isinstance(value, int)}
        return found

    def get_json(self, target: str) -> Any:
        return self.transport.call(self.home, Request("GET", target)).json()

    def post_json(self, origin: Origin, target: str, body: Any) -> Any:
        return self.transport.call(origin, Request("POST", target, json.dumps(body).encode())).json()

    # ---- For claims ----------------------------------------------------------------------------------------------

    def end_claim(self, lease: Lease, verb: str, timeout_s: float | None) -> None:
        end_claim(self.shards, lease, verb, timeout_s)

    def next_turn(self) -> int:
        """A number that rises by one: which of several nodes is asked first."""
        return next(self._turns)


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    pool_size: int = POOL_SIZE,
    retry: RetryPolicy | None = None,
    idle_buffer_bytes_max: int = IDLE_BUFFER_BYTES_MAX,
    blob_cache_bytes_max: int = CACHE_BYTES_MAX,
) -> Client:
    """A client of the server at ``url``. No connection is made before the first call.

    Args:
        url: ``http://host:port``; default: ``TQ_URL`` of the environment, else ``http://127.0.0.1:7654``.
        token: bearer token; default: ``TQ_TOKEN`` of the environment, else none.
        timeout_s: how long one call may take, retries included; a call that waits may take its ``wait_s`` longer.
        pool_size: idle connections kept per server.
        retry: how often, and after which pauses, a call is tried again; see `RetryPolicy`.
        idle_buffer_bytes_max: memory kept for the next answers (bytes); it is taken only as answers of such sizes come.
        blob_cache_bytes_max: memory for the blobs that were used last (bytes); 0 keeps none beyond their batch.

    >>> with transferq.connect(url) as client:
    ...     len(client.partitions()) >= 0
    True
    """
    return Client(
        url,
        token=token,
        timeout_s=timeout_s,
        pool_size=pool_size,
        retry=retry,
        idle_buffer_bytes_max=idle_buffer_bytes_max,
        blob_cache_bytes_max=blob_cache_bytes_max,
    )


def _unpickle(url: str, settings: dict[str, Any]) -> Client:
    return Client(url, **settings)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _reset_clients() -> None:
    for client in list(_clients):
        client.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_clients)
