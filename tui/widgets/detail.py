"""One peer in full, as lines of text. Pure.

Of each device it shows what its memory holds, of each model its parts; where the peer has told only
what it tells everybody, that.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from cortex.peer.onlooker import wording
from cortex.peer.onlooker.details import DeviceDetail, PeerDetail, PlacedDetail, RatesDetail
from cortex.peer.onlooker.pictures import DevicePicture, ModelPicture, PeerPicture
from cortex.peer.units import counted, gib, memory, memory_share

from ..look import Look
from ..watched import Course
from .memory_bar import memory_bar

_BAR_CELLS = 16
_NAME_CELLS = 16


def detail(
    peer: PeerPicture, close: PeerDetail | None, course: Course, look: Look, num_cells: int
) -> list[Text]:
    """What is most worth knowing comes last: where there is no room, the first lines say so."""
    lines = list(_closely(close, look) if close else _from_afar(peer, look))
    loaded = {model.id for model in peer.models}
    if stored := [id for id in peer.stored if id not in loaded]:
        lines.append(Text(f"on disk  {', '.join(stored)}", style="dim"))
    return [*lines, courses(peer, course, look, num_cells), _last(peer, close, look)]


def shortened(lines: list[Text], max_lines: int, look: Look, *, num_last: int) -> list[Text]:
    """The last ones always, and of those before as many as there is room for."""
    if len(lines) <= max_lines:
        return lines
    num_first = max(max_lines - num_last - 1, 0)
    num_left = len(lines) - num_first - num_last
    more = Text(f"{'...' if look.is_ascii else '…'} {num_left} lines more: enter", style="dim")
    return [*lines[:num_first], more, *lines[len(lines) - num_last :]]


def _closely(close: PeerDetail, look: Look) -> Iterator[Text]:
    for number, device in enumerate(close.devices):
        yield device_line(number, device, look)
        for model in device.models:
            yield model_line(model, look)


def device_line(number: int, device: DeviceDetail, look: Look) -> Text:
    name = wording.short_name(device.name)[:_NAME_CELLS]
    line = Text(f"{device.kind.upper()} {number}  {name}  ", no_wrap=True)
    line.append(memory_bar(device, look, _BAR_CELLS))
    used_bytes = max(device.memory_bytes - device.free_bytes, 0)
    line.append(f" {memory_share(used_bytes, device.memory_bytes)}")
    if device.whole_bytes is not None:
        line.append(f" given of {memory(device.whole_bytes)}")
    degrees = "C" if look.is_ascii else "°C"
    if device.utilisation is not None:
        line.append(f"  util {device.utilisation:.0%}")
    if device.temperature_c is not None:
        line.append(f"  {device.temperature_c:.0f} {degrees}")
    if device.power_w is not None:
        line.append(f"  {device.power_w:.0f} W")
    return line


def model_line(model: PlacedDetail, look: Look) -> Text:
    sizes = ((part.what, gib(part.num_bytes)) for part in model.parts)
    parts = look.dot.join(f"{what} {size}" for what, size in sizes if size != "0.0")
    words = "" if model.state == "ready" else f"{model.state}  "
    return Text(f"  {model.id}  {words}{parts}", no_wrap=True)


def _from_afar(peer: PeerPicture, look: Look) -> Iterator[Text]:
    for number, device in enumerate(peer.devices):
        yield _device(number, device, look)
    if not peer.devices:
        yield Text(wording.devices(peer))
    for model in peer.models:
        line = _model(model, look, was="was " * peer.is_gone)
        if peer.is_gone:
            line.stylize("dim")
        yield line


def _device(number: int, device: DevicePicture, look: Look) -> Text:
    line = Text(f"{number}  {device.name}  ", no_wrap=True)
    if device.free_bytes is None or not device.memory_bytes:
        return line.append(f"{wording.UNKNOWN}/{gib(device.memory_bytes)} GiB")
    used_bytes = max(device.memory_bytes - device.free_bytes, 0)
    share = used_bytes / device.memory_bytes
    line.append(look.bar(share, _BAR_CELLS), style=look.bar_style(share))
    return line.append(f" {memory_share(used_bytes, device.memory_bytes)}")


def _model(model: ModelPicture, look: Look, was: str) -> Text:
    words = [was + (model.state if model.percent is None else f"{model.state} {model.percent}%")]
    if model.size_bytes:
        words.append(memory(model.size_bytes))
    if model.computes_in:
        words.append(model.computes_in)
    if model.running is not None:
        words.append(f"{model.running} running")
    if model.waiting:
        words.append(f"{model.waiting} waiting")
    return Text(f"   {model.id}  {look.dot.join(words)}", no_wrap=True)


def courses(peer: PeerPicture, course: Course, look: Look, num_cells: int) -> Text:
    """Tokens a second and the queue, as they were at the last beats."""
    room = min(max((num_cells - 36) // 2, 4), 60)
    tokens = look.spark(list(course.tokens_per_s)[-room:])
    queue = look.spark(list(course.waiting)[-room:])
    line = Text("tok/s ", no_wrap=True)
    line.append(f"{tokens:>{room}}", style=look.tones.calm)
    line.append(f" {wording.tokens_per_s(peer):<8}waiting ")
    line.append(f"{queue:>{room}}", style=look.tones.second)
    return line.append(f" {wording.waiting(peer)}")


def _last(peer: PeerPicture, close: PeerDetail | None, look: Look) -> Text:
    if close is not None:
        return rates_line(close.rates, look)
    words = [f"seen {wording.seen(peer)} ago"]
    if peer.load is not None and peer.load.first_token_ms:
        words.append(f"first token {peer.load.first_token_ms / 1000:.2f} s")
    words += filter(None, (peer.build, ", ".join(peer.roles), peer.address or ""))
    return Text(look.dot.join(words), style="dim", no_wrap=True)


def rates_line(rates: RatesDetail, look: Look) -> Text:
    """Of the last five minutes; what nobody knows yet is not there."""
    line = Text(no_wrap=True)
    if rates.ttft_p50_s is not None and rates.ttft_p95_s is not None:
        line.append(f"ttft p50 {rates.ttft_p50_s:.2f} s{look.dot}p95 {rates.ttft_p95_s:.2f} s   ")
    if rates.cached_ratio is not None:
        line.append(f"reuse {rates.cached_ratio:.0%}   ")
    line.append("5 min: ")
    if rates.errors_5m:
        failed = f"{rates.errors_5m}/{rates.requests_5m} failed"
        line.append(failed, style=look.tones.worth_a_look)
    else:
        line.append(counted(rates.requests_5m, "request") if rates.requests_5m else "no requests")
    for number, what in ((rates.failovers_5m, "moved"), (rates.evictions_5m, "evicted")):
        if number:
            line.append(f"{look.dot}{number} {what}")
    return line
