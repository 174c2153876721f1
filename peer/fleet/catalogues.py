"""Which models each peer has on its disk: gossip names the list by its hash, and the list is
fetched once from whoever has it.

What is kept is bounded, and few lists are kept that nobody names any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ..gossip.codec import MessageError
from .view import StoredModel
from .wire import digest_of, read_catalogue

MAX_MODELS = 100_000
# Lists that nobody names just now may be named again: by a peer that starts anew, or is silent.
_NUM_SPARE = 4


class Catalogues:
    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._max_models = max_models
        self._known: OrderedDict[bytes, tuple[StoredModel, ...]] = OrderedDict()
        self._unread: set[bytes] = set()
        self._num_models = 0

    def of(self, digest: bytes) -> tuple[StoredModel, ...] | None:
        """The models of the list; None where it has not been fetched."""
        return self._known.get(digest)

    def is_whole(self, digest: bytes) -> bool:
        """Whether all of the list could be read, as far as it is here."""
        return digest not in self._unread

    def keep(self, digest: bytes, body: bytes, in_use: Iterable[bytes]) -> None:
        """Take what can be read of a list that was fetched: it would be no other the next time.

        Raises MessageError where it is another than the one that was named.
        """
        if digest_of(body) != digest:
            raise MessageError("another list of models than the one that was told of")
        models, is_whole = read_catalogue(body)
        if not is_whole:
            self._unread.add(digest)
        self._known[digest] = models
        self._num_models += len(models)
        self._make_room({digest, *in_use})

    def forget_unnamed(self, in_use: set[bytes]) -> None:
        """Let go of all but the newest few of those that nobody names."""
        idle = [digest for digest in self._known if digest not in in_use]
        for digest in idle[:-_NUM_SPARE]:
            self._drop(digest)

    def _drop(self, digest: bytes) -> None:
        self._num_models -= len(self._known.pop(digest))
        self._unread.discard(digest)

    def _make_room(self, in_use: set[bytes]) -> None:
        """The lists that nobody names go first; where that is not enough, the oldest."""
        idle = [digest for digest in self._known if digest not in in_use]
        for digest in (*idle, *(digest for digest in self._known if digest in in_use)):
            if self._num_models <= self._max_models or len(self._known) == 1:
                return
            self._drop(digest)
