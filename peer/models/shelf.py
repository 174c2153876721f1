"""The models on this peer's disks, with the names of their weights as far as these are known.

Looking is quick, opens only files that have changed, and serves requests; weighing reads the files
themselves and is for whoever offers the models to others. All reading happens in threads, one that
looks and one that weighs at a time: a disk that does not answer holds up no other work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..config import PeerConfig
from ..types import ModelInfo
from .catalogue import Catalogue, scan
from .look import Look
from .shared import Shared
from .weights import WeightsBook

logger = logging.getLogger(__name__)

# Clients wait so long for what has come of late, and whoever has nothing to go by so long.
_SOON_S = 1.0
AT_LENGTH_S = 30.0


class Shelf:
    """`catalogue` is what there was when somebody last looked, and while it `is_late` the folders
    have not answered since. The config may change.
    """

    def __init__(
        self, config_now: Callable[[], PeerConfig], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.catalogue = Catalogue(())
        self._config_now = config_now
        self._weights = WeightsBook(config_now().locations.state_dir / "weights.json")
        self._last = Look(clock)
        self._looking = Shared(self._look_through)
        self._weighing = Shared(self._weigh_unknown)
        self.is_late = False

    async def look(self, patience_s: float = _SOON_S) -> Catalogue:
        """What there is now; what there was, where the disks do not say soon."""
        looking = self._looking.asked()
        await asyncio.wait({looking}, timeout=patience_s)
        if looking.done():
            return looking.result()
        if not self.is_late:
            self.is_late = True
            logger.warning("models not looked through: their folders do not answer")
        return self.catalogue

    async def _look_through(self) -> Catalogue:
        found = await asyncio.to_thread(self._found)
        self.is_late = False
        before = self.catalogue
        if found != before:  # what is made of the same catalogue need not be made again
            self.catalogue = found
        # Clients have us look as often as they like: what is no news is not said again.
        for path in set(found.unreadable) - set(before.unreadable):
            logger.warning("config unreadable path=%s", path)
        return self.catalogue

    async def weigh(self) -> Catalogue:
        """Look, and find the names of weights that nobody has looked at yet."""
        return await asyncio.shield(self._weighing.asked())

    async def _weigh_unknown(self) -> Catalogue:
        found = await self._looking.asked()
        unknown = [model for model in found.models if not model.weights]
        if await asyncio.to_thread(self._weigh, unknown):
            await self._looking.asked()
        return self.catalogue

    async def find(self, name: str) -> ModelInfo:
        """The model that is meant by a name. Raises ModelNotFound."""
        names = self._config_now().names
        model = names.meant_by(name, self.catalogue.models)
        if model is None:
            models = (await self.look()).models  # it may have been put there since
            model = names.meant_by(name, models) or names.for_unknown(models)
        return self.catalogue.find(name) if model is None else model

    def suggestion(self) -> str | None:
        """The id of a model here that sees pictures."""
        model = self.catalogue.first_with_vision()
        return None if model is None else model.id

    def _found(self) -> Catalogue:
        look = self._last.next()
        found = scan(self._config_now(), look)
        models = tuple(self._with_weights(model, look) for model in found.models)
        self._last = look
        return replace(found, models=models)

    def _with_weights(self, model: ModelInfo, look: Look) -> ModelInfo:
        known = model.dir and self._weights.known(model.dir, self._config_now().engine, look)
        if not known:
            return model
        return replace(model, weights=known.model, size_bytes=known.size_bytes)

    def _weigh(self, models: Sequence[ModelInfo]) -> bool:
        """Whether any could be named."""
        folders = [model.dir for model in models if model.dir is not None]
        return any([self._weights.weigh(folder, self._config_now().engine) for folder in folders])
