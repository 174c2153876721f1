"""What a model's answers depend on, as eight bytes: the same on every peer that has the same files.

Hashed are the files that the engine and the text process read. Small ones are read whole; of a
large safetensors file the header and samples of every tensor (docs/decisions/0008). What a file was
found to be is kept with its size and its time, so that a start reads no gigabytes again. Reading
takes time: not for the event loop. What the model is called, and who has it, is not known here.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, BinaryIO

import msgspec

from cortex.engine.text_files import TEXT_FILES

from ..config import EngineKind
from ..gossip.ids import ID_BYTES, ModelId
from ..private_file import write_private
from .folder import INDEX_FILE, loose_shards, read_shards
from .look import Look

_WHOLE_BYTES = 64 * 1024 * 1024
_SAMPLE_BYTES = 4096
_NUM_SAMPLES = 8
# The format allows 100 MB, which nobody's tensors need: they would hold up the whole peer.
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_DIGEST_BYTES = 16
# Read at one time.
_PIECE_BYTES = 1024 * 1024
# Files that are not there may lie on a disk that is away: of so many it is still known what they
# are when it is back. Some 200 bytes each.
_MAX_AWAY = 4096
# Another way to look at files gives other ids, and forgets what was found in this one.
_PERSON = b"cortex/weights/1"


_Offset = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Weighed:
    """`size_bytes` is what the weights take on the disk."""

    model: ModelId
    size_bytes: int


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    size_bytes: int
    modified_ns: int
    digest: Annotated[str, msgspec.Meta(pattern=rf"\A[0-9a-f]{{{2 * _DIGEST_BYTES}}}\Z")]


class _Body(msgspec.Struct):
    way: str
    files: dict[str, _Kept]


class _Tensor(msgspec.Struct):
    data_offsets: tuple[_Offset, _Offset] | None = None


# The header of a safetensors file; `__metadata__`, which is no tensor, has other fields.
_HEADER = msgspec.json.Decoder(dict[str, _Tensor | None])


class _Incomplete(Exception):
    """A file that is still being written, or was cut off."""


class WeightsBook:
    """What has been found, kept in a file. May be asked from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] | None = None
        self._has_news = False

    def known(self, folder: Path, engine: EngineKind, look: Look) -> Weighed | None:
        """A folder by what was found before, without reading it; None where it has changed."""
        try:
            return _named(
                folder, engine, look, lambda path: self._kept_digest(path, look.stat(path))
            )
        except (OSError, ValueError, _Incomplete):
            return None

    def weigh(self, folder: Path, engine: EngineKind) -> Weighed | None:
        """A folder by its files, as far as they were not known; None where they are not whole."""
        try:
            weighed = _named(folder, engine, Look(), self._found_digest)
        except (OSError, ValueError, _Incomplete):
            return None
        self._save()
        return weighed

    def _kept_digest(self, path: Path, stat: os.stat_result) -> bytes:
        kept = self._files().get(str(path))
        if kept is None or (kept.size_bytes, kept.modified_ns) != _signature(stat):
            raise _Incomplete
        return bytes.fromhex(kept.digest)

    def _found_digest(self, path: Path) -> bytes:
        try:
            return self._kept_digest(path, path.stat())
        except _Incomplete:
            signature = _signature(path.stat())
            digest = _digest(path, signature[0])
            if _signature(path.stat()) != signature:
                raise
        with self._lock:
            kept = self._files()
            kept.pop(str(path), None)  # it is the last found now
            kept[str(path)] = _Kept(*signature, digest.hex())
            self._has_news = True
        return digest

    def _files(self) -> dict[str, _Kept]:
        if self._kept is None:
            self._kept = _read(self._path)
        return self._kept

    def _save(self) -> None:
        with self._lock:
            if not self._has_news:
                return
            self._has_news = False
            kept = self._files()
            away = [path for path in kept if not os.path.exists(path)]
            for path in away[:-_MAX_AWAY]:
                del kept[path]
            body = _Body(_PERSON.decode(), kept)
            try:
                write_private(self._path, msgspec.json.encode(body).decode())
            except OSError:
                return  # a disk that is full or read-only: it is found again at the next start


def _read(path: Path) -> dict[str, _Kept]:
    try:
        body = msgspec.json.decode(path.read_bytes(), type=_Body)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return body.files if body.way == _PERSON.decode() else {}


def _signature(stat: os.stat_result) -> tuple[int, int]:
    """Raises _Incomplete for what is no file: whoever opens a pipe may wait for ever."""
    if not S_ISREG(stat.st_mode):
        raise _Incomplete
    return stat.st_size, stat.st_mtime_ns


def _named(
    folder: Path, engine: EngineKind, look: Look, digest_of: Callable[[Path], bytes]
) -> Weighed:
    """Raises _Incomplete where not all files are there and whole, OSError where nobody can say
    which are, since fewer would be another model, and ValueError for the name of one that is no
    UTF-8: no engine opens that.
    """
    shards = _shards(folder, look)
    texts = [name for name in TEXT_FILES if look.is_surely_file(folder / name)]
    # What the fake engine makes of a folder is not what the real one makes of it.
    named = hashlib.blake2b(engine.encode(), digest_size=ID_BYTES, person=_PERSON)
    for name in (*texts, *(shard.name for shard in shards)):
        named.update(len(name).to_bytes(2, "big") + name.encode() + digest_of(folder / name))
    weighty = shards or [folder / name for name in texts]
    size_bytes = sum(look.stat(path).st_size for path in weighty)
    return Weighed(ModelId(named.digest()), size_bytes)


def _shards(folder: Path, look: Look) -> list[Path]:
    """The safetensors files that the engine reads: those of the index, where there is one. Raises
    _Incomplete and OSError.
    """
    index = folder / INDEX_FILE
    if not look.is_surely_file(index):
        return loose_shards(folder, look)
    try:
        shards = [folder / name for name in read_shards(folder, look)]
    except ValueError:
        raise _Incomplete from None
    if not all(shard.parent == folder and look.is_file(shard) for shard in shards):
        raise _Incomplete
    return shards


def _digest(path: Path, size_bytes: int) -> bytes:
    digest = hashlib.blake2b(size_bytes.to_bytes(8, "big"), digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        spans = _spans(file, size_bytes) if path.suffix == ".safetensors" else [(0, size_bytes)]
        for start, end in spans:
            file.seek(start)
            for at in range(start, end, _PIECE_BYTES):
                piece = file.read(min(_PIECE_BYTES, end - at))
                if not piece:
                    raise _Incomplete
                digest.update(piece)
    return digest.digest()


def _spans(file: BinaryIO, size_bytes: int) -> Iterable[tuple[int, int]]:
    """The parts of a safetensors file that are hashed. Raises _Incomplete for one cut off."""
    (header_bytes,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
    if header_bytes > min(_MAX_HEADER_BYTES, size_bytes - 8):
        raise _Incomplete
    tensors = _tensor_spans(file.read(header_bytes))
    data = 8 + header_bytes
    if data + max((end for _, end in tensors), default=0) != size_bytes:
        raise _Incomplete
    if size_bytes <= _WHOLE_BYTES:
        return [(0, size_bytes)]
    samples = (_samples(data + start, data + end) for start, end in sorted(tensors))
    return [(0, data), *itertools.chain.from_iterable(samples)]


def _tensor_spans(header: bytes) -> list[tuple[int, int]]:
    try:
        tensors = _HEADER.decode(header)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _Incomplete from None
    spans: list[tuple[int, int]] = []
    for name, tensor in tensors.items():
        if name == "__metadata__":
            continue
        if tensor is None or tensor.data_offsets is None:
            raise _Incomplete
        start, end = tensor.data_offsets
        if start > end:
            raise _Incomplete
        spans.append((start, end))
    return spans


def _samples(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Evenly spread over a tensor, its first and its last bytes among them; a small one whole."""
    if end - start <= _NUM_SAMPLES * _SAMPLE_BYTES:
        yield start, end
        return
    for n in range(_NUM_SAMPLES):
        at = start + n * (end - start - _SAMPLE_BYTES) // (_NUM_SAMPLES - 1)
        yield at, at + _SAMPLE_BYTES
