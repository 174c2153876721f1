"""What ctrl+p offers: every key's action, every peer and model by its name, and what has no key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from textual.app import App, SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen

from cortex.peer.onlooker.pictures import FleetPicture

GoTo = Callable[[str, str], Awaitable[None]]


class Offers(Provider):
    """What the app offers, in its order. Names of others are text and no markup."""

    async def discover(self) -> Hits:
        for name, says, run, _ in self.app.get_system_commands(self.screen):
            yield DiscoveryHit(Content(name), run, name, says)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, says, run, _ in self.app.get_system_commands(self.screen):
            if (match := matcher.match(name)) > 0:
                # The matcher's own way to underline takes names for markup.
                yield Hit(match, Content(name), run, name, says)


def actions(app: App[None], screen: Screen[object]) -> Iterator[SystemCommand]:
    """Those whose keys work on this screen now."""
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.id and binding.description:
            says = f"key {app.get_key_display(binding)}"
            run = partial(app.run_action, binding.action, active.node)
            yield SystemCommand(binding.description, says, run)


def names(picture: FleetPicture, go_to: GoTo, *, with_models: bool) -> Iterator[SystemCommand]:
    for peer in picture.peers:
        says = f"peer, {peer.state}"
        yield SystemCommand(peer.name, says, partial(go_to, "fleet", peer.name))
    if with_models:
        ids = {model.id for peer in picture.peers for model in peer.models}
        ids |= {id for peer in picture.peers for id in peer.stored}
        for id in sorted(ids):
            yield SystemCommand(id, "model", partial(go_to, "models", id))
