"""A repository of the hub made a model of this peer: what is small first, so that a model which
cannot be served is refused before its gigabytes come, then the weights, and all of it at once under
its name when every file has the hash that the hub told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from cortex.engine.errors import InvalidRequest, ModelInvalid

from ..config import PeerConfig
from ..errors import CannotStore, HubFailed
from ..jobs import Progress
from ..models.catalogue import is_in_hub_cache, pulling_dir, scan
from ..models.folder import INDEX_FILE, Unserved, read_described, why_unserved
from ..models.look import Look
from ..units import memory
from .hub import Hub, HubAway, Tries, open_hub
from .listing import HubFile, Listing, check_names, shards
from .partial import MAKE_ROOM, CutFile, Partial, matches, partial_of
from .reading import why_unreadable
from .room import Claim, Room

DEFAULT_REVISION = "main"
# A hub that says nothing at all is told of soon; amid gigabytes it is worth two minutes.
_LISTING_TRIES = 4
_FILE_TRIES = 5
_UNREACHED = "see whether that machine reaches it, by HTTPS_PROXY where it must, and pull again"
_CUT_OFF = "try again later: what has come is kept, and the next pull goes on from there"
# One connection is seldom as fast as the line.
_FILES_AT_ONCE = 3
# Others write to the disk as well.
_SPARE_BYTES = 64 * 1024 * 1024

Tell = Callable[[Progress], None]
Check = Callable[[PeerConfig, Path], Awaitable[Unserved | None]]
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def pull(
    config: PeerConfig,
    repository: str,
    revision: str | None,
    tell: Tell,
    room: Room,
    *,
    sleep: Sleep = asyncio.sleep,
    check: Check = why_unreadable,
) -> None:
    """Return when it lies among the models, checked. Where no revision is named, what the Hugging
    Face cache holds is not fetched again. The `room` is that of all pulls of this peer.

    Raises what the hub refuses with, HubFailed, CannotStore, ModelInvalid for one that this peer
    cannot serve, EngineFailed where that is not found out, and InvalidRequest where other files lie
    there already.
    """
    check_pull(repository, revision)
    if config.is_gateway:
        raise InvalidRequest("a gateway keeps no models", "name a peer that does", param="peer")
    if revision is None:
        cached_bytes = await asyncio.to_thread(_cached_bytes, config, repository)
        if cached_bytes:
            tell(Progress("checking", cached_bytes, cached_bytes, "bytes"))
            return
    tell(Progress("asking the hub"))
    async with open_hub(config.hub) as hub:
        with room.claimed() as claim:
            await _Pull(hub, config, repository, tell, sleep, room, claim, check).run(
                revision or DEFAULT_REVISION
            )


def _cached_bytes(config: PeerConfig, repository: str) -> int:
    """What the Hugging Face cache holds of a model that is served from there."""
    served = (model.dir for model in scan(config).models if model.id == repository)
    folder = next(served, None)
    if folder is None or not is_in_hub_cache(folder, config.locations.hub_dir):
        return 0
    # Of a link that leads nowhere there is nothing.
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def check_pull(repository: str, revision: str | None) -> None:
    """Raises InvalidRequest for names that no hub could know."""
    check_names(repository, revision or DEFAULT_REVISION)


class _Pull:
    def __init__(
        self,
        hub: Hub,
        config: PeerConfig,
        repository: str,
        tell: Tell,
        sleep: Sleep,
        room: Room,
        claim: Claim,
        check: Check,
    ) -> None:
        self._hub = hub
        self._config = config
        self._repository = repository
        self._tell = tell
        self._sleep = sleep
        self._room = room
        self._claim = claim
        self._check = check
        self._root = pulling_dir(config)

    async def run(self, revision: str) -> None:
        listing = await self._listing(revision)
        self._check_is_model(listing)
        goal = self._root / self._repository
        if not goal.exists():
            with partial_of(self._root, self._repository) as partial:
                if not goal.exists():
                    await self._fill(partial, listing)
                    await _to_its_end(partial.finish, goal)
                    return
                partial.drop()  # another pull has ended meanwhile
        await self._check_is_there(goal, listing)

    async def _fill(self, partial: Partial, listing: Listing) -> None:
        await _to_its_end(partial.clear_but, listing.files)
        wanted = await self._texts(partial, listing)
        await self._weights(partial, listing, wanted)
        self._tell_of("pulling", sum(file.size_bytes for file in wanted), wanted)

    async def _listing(self, revision: str) -> Listing:
        tries = Tries(_LISTING_TRIES, self._hub.host, self._sleep, _UNREACHED)
        while True:
            try:
                return await self._hub.listing(self._repository, revision)
            except HubAway as error:
                await tries.failed(error)

    def _check_is_model(self, listing: Listing) -> None:
        names = {file.name for file in listing.texts}
        lacking = [name for name in ("config.json", "tokenizer.json") if name not in names]
        if not listing.weights and self._config.engine != "fake":
            lacking.append("weights in safetensors")
        if lacking:
            raise ModelInvalid(
                f"'{self._repository}' has no {' and no '.join(lacking)}",
                "cortex serves models in the layout that transformers reads",
                param="model",
            )

    async def _check_is_there(self, goal: Path, listing: Listing) -> None:
        """Raises InvalidRequest where it is not the same."""
        index = goal / INDEX_FILE
        wanted = (
            *listing.texts,
            *shards(listing, index.read_bytes() if index.is_file() else None),
        )
        done = 0
        for file in wanted:
            self._tell_of("checking", done, wanted)
            if not await asyncio.to_thread(matches, goal / file.name, file):
                raise InvalidRequest(
                    f"{goal} is there, and its {file.name} is not the hub's",
                    f"remove it first: cortex models rm {self._repository}",
                    param="model",
                )
            done += file.size_bytes
        self._tell_of("checking", done, wanted)

    async def _texts(self, partial: Partial, listing: Listing) -> tuple[HubFile, ...]:
        """All files that are wanted, once those that are small have come and are of a model that
        is served.
        """
        self._check_room(partial, listing.texts)
        for file in listing.texts:
            if not await self._is_whole(partial, file):
                await self._fetch(partial, listing.commit, file, lambda _: None)
        try:
            await self._check_is_served(partial)
            is_sharded = any(file.name == INDEX_FILE for file in listing.texts)
            index = (partial.folder / INDEX_FILE).read_bytes() if is_sharded else None
            return (*listing.texts, *await asyncio.to_thread(shards, listing, index))
        except ModelInvalid:
            partial.drop()
            raise

    async def _check_is_served(self, partial: Partial) -> None:
        try:
            described = read_described(partial.folder, Look()) or {}
        except ValueError:
            described = {}
        unserved = why_unserved(described, self._config.engine)
        unserved = unserved or await self._check(self._config, partial.folder)
        if unserved is not None:
            raise ModelInvalid(
                f"cortex does not serve '{self._repository}': {unserved.reason}",
                unserved.hint,
                param="model",
            )

    async def _is_whole(self, partial: Partial, file: HubFile) -> bool:
        if await asyncio.to_thread(matches, partial.whole(file), file):
            return True
        partial.discard(file)
        return False

    async def _weights(
        self, partial: Partial, listing: Listing, wanted: tuple[HubFile, ...]
    ) -> None:
        """Those that came before are checked, and then the others come."""
        coming: list[HubFile] = []
        done = sum(file.size_bytes for file in listing.texts)
        for file in wanted[len(listing.texts) :]:
            self._tell_of("checking", done, wanted)
            if await self._is_whole(partial, file):
                done += file.size_bytes
            else:
                coming.append(file)
        self._claim.lacking_bytes = self._check_room(partial, coming)
        come = {file: partial.num_bytes(file) for file in coming}
        size_bytes = sum(file.size_bytes for file in coming)
        turns = asyncio.Semaphore(_FILES_AT_ONCE)

        async def fetch(file: HubFile) -> None:
            def tell(num_bytes: int) -> None:
                come[file] = num_bytes
                num_come = sum(come.values())
                self._claim.lacking_bytes = size_bytes - num_come
                self._tell_of("pulling", done + num_come, wanted)

            async with turns:
                await self._fetch(partial, listing.commit, file, tell)

        try:
            async with asyncio.TaskGroup() as fetching:
                for file in coming:
                    fetching.create_task(fetch(file))
        except ExceptionGroup as failed:  # the others have ended too, and let go of their files
            raise failed.exceptions[0] from None

    def _check_room(self, partial: Partial, coming: Iterable[HubFile]) -> int:
        """The bytes that are still to come. Raises CannotStore."""
        needed = sum(file.size_bytes - partial.num_bytes(file) for file in coming)
        free = self._room.free_bytes(self._root)
        promised = self._room.promised_bytes(self._claim)
        if needed and needed + promised + _SPARE_BYTES > free:
            others = f", {memory(promised)} of which other pulls still need" if promised else ""
            raise CannotStore(
                f"'{self._repository}' needs {memory(needed)} more, and {memory(free)} are free"
                f" in {self._root}{others}",
                f"{MAKE_ROOM}; or start the peer with --models DIR on a larger disk",
            )
        return needed

    async def _fetch(
        self, partial: Partial, commit: str, file: HubFile, told: Callable[[int], None]
    ) -> None:
        """The file is there, whole. Raises HubFailed."""
        with partial.opened(file) as cut:
            while await _to_its_end(cut.read_on):
                pass
            is_resumed = cut.num_bytes > 0
            while True:
                told(cut.num_bytes)
                is_resumed |= await self._fetch_rest(commit, cut, file, told)
                if await _to_its_end(cut.seal):
                    return
                cut.restart()
                if not is_resumed:
                    break
                # What was there may have been spoilt by what ended the last try: once more.
                is_resumed = False
        raise HubFailed(
            f"what {self._hub.host} sends as {file.name} has not the hash that it tells",
            "what else has come is kept; try again later",
        )

    async def _fetch_rest(
        self, commit: str, cut: CutFile, file: HubFile, told: Callable[[int], None]
    ) -> bool:
        """Whether it took more than one answer."""
        tries = Tries(_FILE_TRIES, self._hub.host, self._sleep, _CUT_OFF)
        most, num_answers = cut.num_bytes, 0
        while cut.num_bytes < file.size_bytes:
            num_answers += 1
            try:
                pieces = self._hub.pieces(self._repository, commit, file, cut.num_bytes)
                async with aclosing(pieces):
                    async for at, piece in pieces:
                        if at + len(piece) > file.size_bytes:
                            cut.restart()
                            raise HubFailed(
                                f"{self._hub.host} sends more of {file.name} than it tells",
                                "check HF_ENDPOINT",
                            )
                        await _to_its_end(cut.write, at, piece)
                        told(cut.num_bytes)
                        if cut.num_bytes > most:  # whoever only repeats itself gets nowhere
                            most = cut.num_bytes
                            tries.went_on()
                if cut.num_bytes < file.size_bytes:
                    raise HubAway("it breaks off")
            except HubAway as error:
                await tries.failed(error)
        return num_answers > 1

    def _tell_of(self, stage: str, done: int, wanted: Iterable[HubFile]) -> None:
        total = sum(file.size_bytes for file in wanted)
        self._tell(Progress(stage, done, total, "bytes"))


async def _to_its_end(work: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """In a thread, which nobody can cancel: whoever is cancelled waits for it, and lets go of the
    files that it uses only then.
    """
    running = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    finally:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
