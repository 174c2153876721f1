"""A model's folder while it comes: hidden, on the disk where it will lie, and renamed when whole.

What has come stays for the next try, whatever ended this one: a whole file by its name, one that is
cut by its name and its hash. What the kernel promises of a lock holds for the folder: it is let go
with the process. Everything here takes time: not for the event loop.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import CannotStore
from ..private_file import DISK_FULL
from .listing import HubFile

_READ_BYTES = 4 * 1024 * 1024
_GOES_ON = "what has come is kept, and the next pull goes on from there"
MAKE_ROOM = (
    f"make room there: {_GOES_ON}; a hidden folder .pulling-ORG--NAME of what nobody wants can be"
    " deleted"
)


class Partial:
    """Use as `with partial_of(root, repository) as partial`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear_but(self, files: Iterable[HubFile]) -> None:
        """Let go of all that is not of these files as they are now."""
        sizes = {self.whole(file): file.size_bytes for file in files}
        sizes |= {self._cut(file): file.size_bytes for file in files}
        with _stored(self.folder):
            for path in _files_below(self.folder):
                is_ours = path in sizes and not path.is_symlink()
                if not is_ours or path.stat().st_size > sizes[path]:
                    path.unlink()

    def whole(self, file: HubFile) -> Path:
        return self.folder / file.name

    def num_bytes(self, file: HubFile) -> int:
        """How much of it has come."""
        paths = (self.whole(file), self._cut(file))
        return next((path.stat().st_size for path in paths if path.is_file()), 0)

    def discard(self, file: HubFile) -> None:
        """It has to come again."""
        with _stored(self.folder):
            self.whole(file).unlink(missing_ok=True)

    @contextmanager
    def opened(self, file: HubFile) -> Generator[CutFile]:
        path = self._cut(file)
        with _stored(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            yield CutFile(descriptor, path, self.whole(file), file)
        finally:
            os.close(descriptor)

    def finish(self, at: Path) -> None:
        """From now on it is the model there."""
        with _stored(at):
            at.parent.mkdir(parents=True, exist_ok=True)
            self.folder.rename(at)
            for folder in (at, at.parent):
                _sync(folder)

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _cut(self, file: HubFile) -> Path:
        return self.folder / f"{file.name}.{file.digest[:16]}.part"


class CutFile:
    """A file that is being written: bytes come at its end, or all from the beginning again."""

    def __init__(self, descriptor: int, path: Path, whole: Path, file: HubFile) -> None:
        self._descriptor = descriptor
        self._path = path
        self._whole = whole
        self._file = file
        self._hasher = file.hasher()
        self.num_bytes = 0

    def read_on(self) -> bool:
        """Take up the next part of what is there, if there is one."""
        with _stored(self._path):
            data = os.pread(self._descriptor, _READ_BYTES, self.num_bytes)
        self._hasher.update(data)
        self.num_bytes += len(data)
        return bool(data)

    def write(self, at: int, data: bytes) -> None:
        with _stored(self._path):
            if at != self.num_bytes:
                assert at == 0, "bytes come in a row"
                self.restart()
            done = 0
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], at + done)
            self._hasher.update(data)
            self.num_bytes += len(data)

    def restart(self) -> None:
        with _stored(self._path):
            os.ftruncate(self._descriptor, 0)
        self._hasher, self.num_bytes = self._file.hasher(), 0

    def seal(self) -> bool:
        """Give it its name, if it is what it should be."""
        if self._hasher.hexdigest() != self._file.digest:
            return False
        with _stored(self._path):
            os.fsync(self._descriptor)
            self._path.rename(self._whole)
        return True


@contextmanager
def partial_of(root: Path, repository: str) -> Generator[Partial]:
    """What has come of it so far, which nobody else changes meanwhile. Raises CannotStore."""
    folder = root / f".pulling-{repository.replace('/', '--')}"
    descriptor = None
    while descriptor is None:
        descriptor = _locked(folder, repository)
    try:
        yield Partial(folder)
    finally:
        os.close(descriptor)


def _locked(folder: Path, repository: str) -> int | None:
    """The folder, opened; None where another pull has made it a model before it was locked."""
    with _stored(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    is_ours = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            is_ours = os.path.samestat(os.fstat(descriptor), folder.lstat())
    except BlockingIOError:
        raise CannotStore(
            f"somebody else is pulling '{repository}' into {folder.parent}",
            "wait until it is there",
        ) from None
    finally:
        if not is_ours:
            os.close(descriptor)
    return descriptor if is_ours else None


def matches(path: Path, file: HubFile) -> bool:
    """Whether it has the size and the hash. Raises CannotStore for what may not be read."""
    hasher = file.hasher()
    with _stored(path):
        if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
            return False
        with path.open("rb") as opened:
            while data := opened.read(_READ_BYTES):
                hasher.update(data)
    return hasher.hexdigest() == file.digest


@contextmanager
def _stored(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise CannotStore(
            f"cannot write {error.filename or path}: {error.strerror or error}",
            MAKE_ROOM if error.errno in DISK_FULL else _GOES_ON,
        ) from None


def _files_below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        for name in (*files, *(one for one in folders if os.path.islink(os.path.join(where, one)))):
            yield Path(where, name)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
