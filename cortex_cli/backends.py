"""Who answers a command: the peer it names, a running peer of this machine, or a node of its own.

What a person typed about the engine is obeyed: no running peer would, so none is asked then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from cortex.peer.client.backends import Backend, open_backend, private_backend
from cortex.peer.config import PeerConfig
from cortex.peer.serving.announcement import find_announcements

from .diagnostics import Diagnostics


def choose_backend(
    config: PeerConfig,
    peer: str | None,
    typed_for_own_node: Sequence[str],
    diagnostics: Diagnostics,
    *,
    api_key: str | None,
) -> AbstractAsyncContextManager[Backend]:
    """The backend to enter, asked with a key; where a peer is passed over, that is said.

    Entering it raises NoPeer where a named peer does not answer.
    """
    if not typed_for_own_node:
        return open_backend(
            config,
            peer,
            on_notice=diagnostics.notice,
            on_passed_over=diagnostics.line,
            api_key=api_key,
        )
    if peer is not None or find_announcements(config.locations):
        options = " and ".join(typed_for_own_node)
        verb = "means" if len(typed_for_own_node) == 1 else "mean"
        passed_over = "the running peer" if peer is None else f"the peer at {peer}"
        diagnostics.line(f"{passed_over} is not asked: {options} {verb} this machine by itself.")
    return private_backend(config)
