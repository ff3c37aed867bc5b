"""The directory of a checkpoint: a manifest, and a directory of data that it names.

    DIR/manifest.json                       one JSON object; its last member is the SHA-256 of all before ,"sha256":
    DIR/data-3f9c.../0.state                a partition without its cells, as the server gave it out
    DIR/data-3f9c.../0-0.arrow, 0-1.arrow   its rows, in Arrow IPC streams
    DIR/data-3f9c.../0-b0.arrow             the shared blobs that they name, in such streams too

docs/CHECKPOINTS.md says what is in them. A save writes a data directory of its own, syncs it, and then replaces the
manifest by a rename; only after that the data that the manifest named before is removed.

Invariants: a directory shows the old checkpoint or the new one, whole, whenever a save is killed; every byte that is
read was checked against the manifest. One save at a time writes to a directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from transferq.errors import CheckpointInvalid

FORMAT: Final = "transfer-queue checkpoint"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DATA_PREFIX: Final = "data-"
SEAL: Final = b',"sha256":"'
READ_SIZE: Final = 1 << 20
# Files of about this size: small enough for one put to any server.
FILE_SIZE: Final = 8 << 20


@dataclass(frozen=True)
class SavedFile:
    """A file of the data directory."""

    file: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class SavedPartition:
    """The files of one partition."""

    name: str
    rows: int
    state: SavedFile
    files: tuple[SavedFile, ...]
    blobs: tuple[SavedFile, ...] = ()

    @property
    def all_files(self) -> tuple[SavedFile, ...]:
        return (self.state, *self.blobs, *self.files)

    @staticmethod
    def parse(saved: dict[str, Any]) -> SavedPartition:
        """As the manifest has it; one that was written before there were blobs has none."""
        files, blobs = (tuple(SavedFile(**file) for file in saved.get(kind, ())) for kind in ("files", "blobs"))
        return SavedPartition(saved["name"], saved["rows"], SavedFile(**saved["state"]), files, blobs)


@dataclass(frozen=True)
class Checkpoint:
    """What a directory holds, as its manifest says.

    Attributes:
        metadata: what the saver gave, JSON values.
        lsn: LSN of the state that was saved, at the server that it was saved from.
        partitions: names of the partitions, with the number of their rows.
        left_out: partitions that were not saved because their ack level is ``"memory"``.
    """

    metadata: Any
    lsn: int
    partitions: dict[str, int]
    left_out: tuple[str, ...] = ()
    data: str = field(default="", repr=False)
    contents: tuple[SavedPartition, ...] = field(default=(), repr=False)

    @staticmethod
    def read(directory: str | os.PathLike[str]) -> Checkpoint:
        """Looks at a checkpoint without loading it. Raises CheckpointInvalid."""
        path = Path(directory) / MANIFEST
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise _invalid(path, "there is no manifest") from None
        try:
            return _checkpoint_of(path, text)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _invalid(path, "the manifest is not understood") from error

    def verify(self, directory: str | os.PathLike[str]) -> None:
        """Reads every file and compares it with the manifest. Raises CheckpointInvalid."""
        for partition in self.contents:
            for saved in partition.all_files:
                path = Path(directory) / self.data / saved.file
                digest, size = hashlib.sha256(), 0
                for chunk in _chunks(path):
                    digest.update(chunk)
                    size += len(chunk)
                _check(path, saved, size, digest.hexdigest())

    def load_file(self, directory: str | os.PathLike[str], saved: SavedFile) -> bytes:
        """The bytes of a file, checked."""
        path = Path(directory) / self.data / saved.file
        content = b"".join(_chunks(path))
        _check(path, saved, len(content), hashlib.sha256(content).hexdigest())
        return content


class CheckpointWriter:
    """Writes the data of a new checkpoint beside the old one; `commit` makes it the checkpoint of the directory."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._data = self._directory / f"{DATA_PREFIX}{secrets.token_hex(8)}"
        self._data.mkdir()
        self._committed = False

    def write(self, name: str, content: Any, rows: int = 0) -> SavedFile:
        """Writes and syncs a file; ``content`` is anything with the buffer interface."""
        view = memoryview(content).cast("B")
        _write_synced(self._data / name, view)
        return SavedFile(name, len(view), hashlib.sha256(view).hexdigest(), rows)

    def commit(self, metadata: Any, lsn: int, left_out: list[str], partitions: list[SavedPartition]) -> Checkpoint:
        """Syncs the directories, and replaces the manifest: the new checkpoint is there, whatever fails after that."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "data": self._data.name,
            "lsn": lsn,
            "metadata": metadata,
            "left_out": left_out,
            "partitions": [asdict(partition) for partition in partitions],
        }
        body = json.dumps(manifest, separators=(",", ":")).encode()[:-1]
        text = body + SEAL + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
        path = self._directory / MANIFEST
        _sync_directory(self._data)
        fresh = self._directory / f"{MANIFEST}.new"
        _write_synced(fresh, memoryview(text))
        _sync_directory(self._directory)
        fresh.replace(path)
        self._committed = True
        _sync_directory(self._directory)
        for old in self._directory.glob(f"{DATA_PREFIX}*"):
            if old != self._data:
                shutil.rmtree(old, ignore_errors=True)
        return _checkpoint_of(path, text)

    def discard(self) -> None:
        """Removes what was written, unless the manifest names it by now."""
        if not self._committed:
            shutil.rmtree(self._data, ignore_errors=True)


def _checkpoint_of(path: Path, text: bytes) -> Checkpoint:
    body, seal, rest = text.rpartition(SEAL)
    if not seal or rest[:64] != hashlib.sha256(body).hexdigest().encode():
        raise _invalid(path, "the manifest is damaged")
    manifest = json.loads(text)
    if manifest["format"] != FORMAT or manifest["version"] != VERSION:
        raise _invalid(path, f"version {manifest['version']} of {manifest['format']!r} is not one that is read here")
    contents = tuple(map(SavedPartition.parse, manifest["partitions"]))
    names = [manifest["data"], *(saved.file for one in contents for saved in one.all_files)]
    if any(Path(name).name != name for name in names):
        raise _invalid(path, "the manifest names files outside of its directory")
    return Checkpoint(
        manifest["metadata"],
        manifest["lsn"],
        {one.name: one.rows for one in contents},
        tuple(manifest["left_out"]),
        manifest["data"],
        contents,
    )


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(READ_SIZE):
                yield chunk
    except FileNotFoundError:
        raise _invalid(path, "the file is not there") from None


def _check(path: Path, saved: SavedFile, size: int, digest: str) -> None:
    if size != saved.bytes or digest != saved.sha256:
        raise _invalid(path, "the file is damaged")


def _invalid(path: Path, reason: str) -> CheckpointInvalid:
    return CheckpointInvalid(details={"path": str(path), "reason": reason})


def _write_synced(path: Path, view: memoryview) -> None:
    with path.open("wb") as file:
        file.write(view)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    # Windows opens no directories; a rename is in its journal.
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
