"""One peer in full, as lines of text. Pure."""

from __future__ import annotations

from rich.text import Text

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.pictures import DevicePicture, ModelPicture, PeerPicture
from cortex.peer.units import gib

from ..look import Look

_BAR_CELLS = 16


def detail(peer: PeerPicture, look: Look) -> Text:
    lines = [_device(number, device, look) for number, device in enumerate(peer.devices)]
    if not lines:
        lines.append(Text(wording.devices(peer)))
    lines += [_model(model, look) for model in peer.models]
    loaded = {model.id for model in peer.models}
    if stored := [id for id in peer.stored if id not in loaded]:
        lines.append(Text(f"on disk  {', '.join(stored)}", style="dim"))
    lines.append(Text(look.dot.join(_of_itself(peer)), style="dim"))
    return Text("\n").join(lines)


def _device(number: int, device: DevicePicture, look: Look) -> Text:
    line = Text(f"{number}  {device.name}  ")
    if device.free_bytes is None or not device.memory_bytes:
        return line.append(f"{wording.UNKNOWN}/{gib(device.memory_bytes)} GiB")
    used_bytes = max(device.memory_bytes - device.free_bytes, 0)
    share = used_bytes / device.memory_bytes
    line.append(look.bar(share, _BAR_CELLS), style=look.bar_style(share))
    return line.append(f" {gib(used_bytes)}/{gib(device.memory_bytes)} GiB")


def _model(model: ModelPicture, look: Look) -> Text:
    words = [model.state if model.percent is None else f"{model.state} {model.percent}%"]
    if model.size_bytes:
        words.append(f"{gib(model.size_bytes)} GiB")
    if model.computes_in:
        words.append(model.computes_in)
    if model.running is not None:
        words.append(f"{model.running} running")
    if model.waiting:
        words.append(f"{model.waiting} waiting")
    return Text(f"   {model.id}  {look.dot.join(words)}")


def _of_itself(peer: PeerPicture) -> list[str]:
    words = [f"seen {wording.seen(peer)} ago"]
    if peer.load is not None and peer.load.first_token_ms:
        words.append(f"first token {peer.load.first_token_ms / 1000:.2f} s")
    return [*words, *filter(None, (peer.build, ", ".join(peer.roles), peer.address or ""))]
