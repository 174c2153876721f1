"""What a repository of the hub holds, as the hub tells it, and what of that cortex reads. Pure.

All of it comes from a stranger. Files are taken by names that are known beforehand, of which none
leads out of a folder, and each has a size and a hash before its first byte is asked for. Pickles,
programs and weights of other formats are not among them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from cortex.engine.errors import InvalidRequest, ModelInvalid
from cortex.engine.text_files import TEXT_FILES

from ..errors import HubFailed
from ..models.folder import INDEX_FILE, named_shards
from ..units import memory

# The tokenizer's older forms, which other programs look for in the folder, and its licence.
_BESIDE = re.compile(
    r"(vocab|added_tokens|special_tokens_map)\.json|(merges|vocab)\.txt"
    r"|(LICEN[CS]E|NOTICE)(\.txt|\.md)?",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"\w[\w.-]*\.safetensors", re.ASCII)
_REPOSITORY = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,254}", re.ASCII)
_Sha1 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}\Z")]
_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# Many of them make a sum that fits everywhere.
_Size = Annotated[int, Meta(ge=0, le=1 << 50)]
_MAX_TEXT_BYTES = 64 * 1024 * 1024
_MAX_SHARDS = 1000


class Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class HubFile:
    """`digest` is the SHA-256 of its bytes in hex; of a file that lies in git itself, which tells
    no such thing, it is git's shorter name for it.
    """

    name: str
    size_bytes: int
    digest: str

    def hasher(self) -> Hasher:
        if len(self.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """What of a repository cortex may read, at one commit."""

    commit: str
    texts: tuple[HubFile, ...]
    weights: tuple[HubFile, ...]

    @property
    def files(self) -> tuple[HubFile, ...]:
        return (*self.texts, *self.weights)


class _Large(Struct):
    sha256: _Sha256


class _Told(Struct):
    rfilename: str
    size: _Size | None = None
    blobId: _Sha1 | None = None
    lfs: _Large | None = None


class _Body(Struct):
    sha: _Sha1
    siblings: list[_Told] = []


def check_names(repository: str, revision: str) -> None:
    """Raises InvalidRequest for what no repository, or revision of one, is called."""
    if _REPOSITORY.fullmatch(repository) is None or ".." in repository or "--" in repository:
        raise InvalidRequest(
            f"'{repository[:80]}' is no name of a repository",
            "it looks like Qwen/Qwen3.5-4B",
            param="model",
        )
    if _REVISION.fullmatch(revision) is None or ".." in revision:
        raise InvalidRequest(
            f"'{revision[:80]}' is no revision",
            "it is a branch, a tag or a commit",
            param="revision",
        )


def read_listing(body: bytes) -> Listing:
    """Raises HubFailed where a file that is wanted comes without a size and a hash, ModelInvalid
    for a text that nobody should hold in memory.
    """
    try:
        told = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise HubFailed("what answers for the hub is none", "check HF_ENDPOINT") from None
    named = {one.rfilename: one for one in told.siblings}
    texts = [one for name, one in named.items() if name in TEXT_FILES or name == INDEX_FILE]
    texts += [one for name, one in named.items() if _BESIDE.fullmatch(name)]
    for one in texts:
        if one.size is not None and one.size > _MAX_TEXT_BYTES:
            raise ModelInvalid(
                f"the repository's {one.rfilename} has {memory(one.size)}",
                f"the most that is read is {memory(_MAX_TEXT_BYTES)}",
                param="model",
            )
    weights = [one for name, one in sorted(named.items()) if _WEIGHTS.fullmatch(name)]
    return Listing(told.sha, tuple(map(_file, texts)), tuple(map(_file, weights)))


def shards(listing: Listing, index: bytes | None) -> tuple[HubFile, ...]:
    """The weights that the engine reads: those that the index names, else all there are.

    Raises ModelInvalid for an index that is none, or names what is not there, and for more files
    than a model is cut into.
    """
    found = listing.weights if index is None else _named_by(index, listing)
    if len(found) > _MAX_SHARDS:
        raise ModelInvalid(
            f"the repository has {len(found):,} files of weights",
            f"the most that cortex pulls is {_MAX_SHARDS:,}",
            param="model",
        )
    return found


def _named_by(index: bytes, listing: Listing) -> tuple[HubFile, ...]:
    try:
        names = set(named_shards(index))
    except ValueError:
        raise ModelInvalid(f"the repository's {INDEX_FILE} is none", "tell its owner") from None
    lacking = names - {file.name for file in listing.weights}
    if lacking:
        raise ModelInvalid(
            f"{INDEX_FILE} names '{min(lacking)[:80]}', which the repository does not have",
            "tell its owner",
        )
    return tuple(file for file in listing.weights if file.name in names)


def _file(told: _Told) -> HubFile:
    digest = told.lfs.sha256 if told.lfs is not None else told.blobId
    if told.size is None or digest is None:
        raise HubFailed(f"the hub tells no size and hash of {told.rfilename}", "check HF_ENDPOINT")
    return HubFile(told.rfilename, told.size, digest)
