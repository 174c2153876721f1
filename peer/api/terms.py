"""What requests are judged by: the parts of the config that the API asks for, as they are now.

A request takes them when it comes and keeps them to its end, so that a config that changes in
between is for it the old one or the new one, and never half of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from ..bounds.limits import Limits
from ..config import PeerConfig
from ..keys.access import Keyring


@dataclass(frozen=True, slots=True)
class Terms:
    """`origins` are those of pages that may ask. Where all may ask anonymously nobody needs a key
    of the `keyring`.
    """

    limits: Limits
    keyring: Keyring
    origins: frozenset[str]
    lets_anonymous_in: bool


class TermsNow:
    """Made of a config that may be replaced by another at any time."""

    def __init__(self, config_now: Callable[[], PeerConfig]) -> None:
        self._config_now = config_now
        self._made_of = config_now()
        self._terms = _terms(self._made_of)

    def take(self) -> Terms:
        config = self._config_now()
        if config is not self._made_of:
            self._made_of, self._terms = config, _terms(config)
        return self._terms


def _terms(config: PeerConfig) -> Terms:
    return Terms(
        config.limits,
        Keyring((*config.keys, *config.admin_keys)),
        frozenset(config.cors_origins),
        config.lets_anonymous_in,
    )


TERMS_NOW = web.AppKey("terms_now", TermsNow)
TERMS = web.RequestKey("terms", Terms)
