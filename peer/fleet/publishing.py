"""Keeps our own row and load record as this peer says that they are: only what has changed is
written, so that only that is told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..addresses import is_loopback
from ..gossip.core import Core
from ..gossip.events import LoadAsked
from ..gossip.facts import FactsTooLarge
from ..gossip.ids import ModelId
from ..gossip.messages import LoadAnswer
from ..gossip.records import Address
from ..gossip.sections import Content, pack_content
from ..keys.keyring import Keyring
from ..resolving import MAX_ADDRESSES
from .driver import Driver
from .membership import OwnState
from .telling import About, fitting, ident, keys, sections_of, verdict

logger = logging.getLogger(__name__)


class Publisher:
    """`addresses` are those that we may be reached at, the best one first."""

    def __init__(
        self, driver: Driver, name: str, addresses: Sequence[Address], about: About
    ) -> None:
        self._driver = driver
        self._name = name
        self.addresses = addresses
        self._about = about
        self._state = OwnState()

    def begin(self, keyring: Keyring) -> None:
        self.introduce()
        self._write(self._about.hardware)
        self.hold(keyring)

    def introduce(self) -> None:
        """Who and where we are: first where the core says that we are reached."""
        first = self._driver.act(lambda core, _: core.own.address)
        rest = (each for each in self.addresses if not is_loopback(each.ip))
        addresses = tuple(dict.fromkeys((first, *rest)))[:MAX_ADDRESSES]
        self._write(ident(self._name, addresses, self._about))

    def hold(self, keyring: Keyring) -> None:
        self._write(keys(keyring))

    def tell(self, state: OwnState, digest: bytes) -> None:
        self._state = state
        for content in sections_of(state, self._about, digest):
            self._write(content)
        self._driver.act(lambda core, now_s: core.set_load(now_s, state.load))

    def answer(self, asked: LoadAsked) -> None:
        word, wait_ms = verdict(self._state, asked.model)
        self._driver.act(
            lambda core, now_s: core.answer_load(now_s, asked.address, asked.seq, word, wait_ms)
        )

    def own_answer(self, model: ModelId) -> LoadAnswer:
        """What we would answer ourselves."""
        word, wait_ms = verdict(self._state, model)
        return self._driver.act(lambda core, now_s: core.load_answer(now_s, 0, word, wait_ms))

    def _write(self, content: Content) -> None:
        data = fitting(content)
        if len(data) < len(pack_content(content)):
            logger.warning("section shortened section=%s bytes=%d", content.SECTION, len(data))
        try:
            self._driver.act(lambda core, now_s: _written(core, now_s, content.SECTION, data))
        except FactsTooLarge as error:
            logger.error("section not told section=%s error=%s", content.SECTION, error)


def _written(core: Core, now_s: float, section: int, data: bytes) -> None:
    if core.own.facts.content(section) != data:
        core.publish(now_s, section, data)
