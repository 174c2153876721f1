"""The command lines of a peer's children. Pure: config in, arguments out."""

from __future__ import annotations

import sys
from pathlib import Path

from ..config import Card, PeerConfig
from ..release import own_release
from .slot import ChildSpec


def text_spec(config: PeerConfig) -> ChildSpec:
    command = _program(config, "cortex.engine.text")
    return _spec(config, "text", tuple(command), config.longest_text_rest_s)


def engine_spec(config: PeerConfig, device: str) -> ChildSpec:
    name = "engine" if len(config.engine_devices) < 2 else f"engine {device}"
    return _spec(config, name, _engine_command(config, device), config.longest_engine_rest_s)


def check_command(config: PeerConfig, folder: Path) -> tuple[str, ...]:
    """What reads all of a model's folder but its weights."""
    command = _program(config, "cortex.engine.check_folder")
    return (*command, "--engine", config.engine, str(folder))


def _spec(
    config: PeerConfig, name: str, command: tuple[str, ...], longest_rest_s: float
) -> ChildSpec:
    times_s = config.child_start_s, config.child_silence_s, longest_rest_s
    release = own_release() if config.python == sys.executable else None
    return ChildSpec(name, command, *times_s, release)


def _engine_command(config: PeerConfig, device: str) -> tuple[str, ...]:
    if config.engine == "torch":
        card = config.card_of(device)
        command = [] if card is None else _alone_with(card)
        command += _program(config, "cortex.engine.worker")
        # Of those that it sees, which is one, torch calls it the first.
        command += ["--device", device if card is None else "cuda:0"]
        command += ["--mode", config.wishes.mode, "--dtype", config.wishes.dtype]
        command += ["--kernels", config.wishes.kernels]
        command += ["--speculation", config.wishes.speculation]
        command += ["--engines", str(len(config.engine_devices))]
        if config.cpu_threads is not None:
            command += ["--threads", str(config.cpu_threads)]
        if config.memory_bytes is not None:
            command += ["--memory-bytes", str(config.memory_bytes)]
        return tuple(command)
    if config.engine == "none":
        return ()  # never started: there is no model to start it for
    command = _program(config, "cortex.engine.fake")
    if config.fake_script is not None:
        command += ["--script", str(config.fake_script)]
    if config.memory_bytes is not None:
        command += ["--memory-bytes", str(config.memory_bytes)]
    if config.fake_token_interval_ms:
        command += ["--token-interval-ms", str(config.fake_token_interval_ms)]
    return tuple(command)


def _alone_with(card: Card) -> list[str]:
    """Set before torch is loaded, which reads it only once."""
    order = "CUDA_DEVICE_ORDER=PCI_BUS_ID"
    return ["env", order, f"CUDA_VISIBLE_DEVICES={card.id}"]


def _program(config: PeerConfig, module: str) -> list[str]:
    # -P: the folder that the command was typed in may hold a torch.py of somebody else's.
    return [config.python, "-P", "-X", "faulthandler", "-m", module]
