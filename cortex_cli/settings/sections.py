"""Every setting that cortex.toml may hold: one line each, and a section more is one table more.

A setting is either one that a command's option has too, which goes before it, or a field of
PeerConfig. Its default is the option's or the field's and is not written here. One that is live is
taken up by a running peer when the file has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from cortex.engine.bounds import MAX_STOP_CHARS, MAX_STOPS
from cortex.engine.wishes import DtypeWish, KernelsWish, ModeWish, SpeculationWish
from cortex.peer.config import LogFormat, LogLevel, Strategy
from cortex.tui.options import FASTEST_S, THEMES

from ..places import parse_name, parse_reach, parse_seed
from . import kinds
from .api_keys import api_keys
from .kinds import Known


@dataclass(frozen=True, slots=True)
class OfOptions(Known):
    """The options, by their parameters' names, that the value or its parts stand for.

    `commands` are the only ones where it does, if any are named; options of that name elsewhere
    mean something else.
    """

    options: tuple[str, ...]
    commands: tuple[str, ...] = ()
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class OfConfig(Known):
    """`field` is one of PeerConfig's, or GROUP.FIELD of one of its groups. An `option` of `cortex
    peer`, by its parameter's name, goes before it where it is typed.
    """

    field: str
    is_live: bool = False
    option: str = ""


Setting = OfOptions | OfConfig

# Pillow warns of larger ones.
_MOST_PIXELS = 89_478_485
# The commands that serve, and go by these options: `serve` is another name for `gateway`.
_OF_PEERS = ("peer",)
_OF_GATEWAYS = ("gateway", "serve")
_OF_MEMBERS = (*_OF_PEERS, *_OF_GATEWAYS)
_OF_LOOKERS = (*_OF_MEMBERS, "doctor")

_PEER: Mapping[str, Setting] = {
    "name": OfOptions(
        kinds.parsed('a name such as "beast"', parse_name),
        "What this peer is called.",
        ("name",),
        _OF_MEMBERS,
    ),
    "listen": OfOptions(kinds.address(), "Where the API listens.", ("host", "port"), _OF_PEERS),
    "fleet_listen": OfOptions(
        kinds.address(),
        "Where other peers are listened for, by UDP and TCP.",
        ("fleet_host", "fleet_port"),
        _OF_LOOKERS,
    ),
    "advertise": OfOptions(
        kinds.parsed('an address such as "203.0.113.7:13132"', parse_reach),
        "Where other peers reach this one, if not at its own address.",
        ("advertise",),
        _OF_MEMBERS,
    ),
    "gpus": OfOptions(kinds.gpus(), "What computes.", ("gpu",)),
    "models": OfOptions(
        kinds.folders(), "Folders that are searched for models.", ("models",), is_live=True
    ),
    "model": OfOptions(
        kinds.text_or_texts(), "Load these models at the start.", ("model",), _OF_PEERS
    ),
    "drain": OfConfig(
        kinds.duration(0),
        "How long running answers may take to end at the end.",
        "drain_s",
        True,
        "drain",
    ),
    "log_level": OfConfig(
        kinds.choice(*get_args(LogLevel)), "From where on it is logged.", "log_level", True
    ),
    "log_format": OfConfig(
        kinds.choice(*get_args(LogFormat)),
        "Whether a line of the log is for people or a JSON object.",
        "log_format",
        True,
        "log_format",
    ),
}
_GATEWAY: Mapping[str, Setting] = {
    "listen": OfOptions(
        kinds.address(), "Where a gateway's API listens.", ("host", "port"), _OF_GATEWAYS
    ),
    "metrics_listen": OfOptions(
        kinds.address(),
        "Where a gateway tells its numbers, without keys.",
        ("metrics_host", "metrics_port"),
        _OF_GATEWAYS,
    ),
}
_FLEET: Mapping[str, Setting] = {
    "mdns": OfOptions(
        kinds.opposite(), "Whether to look for peers by multicast.", ("no_mdns",), _OF_LOOKERS
    ),
    "mdns_interfaces": OfOptions(
        kinds.several('a list of interfaces such as ["eth0"]', str),
        "Where to look, instead of every interface that looks usable.",
        ("mdns_interfaces",),
        _OF_LOOKERS,
    ),
    "join": OfOptions(
        kinds.several('a list of addresses such as ["beast.internal:13132"]', parse_seed),
        "Fleet ports of peers to try for ever.",
        ("join",),
        _OF_LOOKERS,
        is_live=True,
    ),
    "key_file": OfOptions(kinds.file(), "Where the fleet's key is kept.", ("key_file",)),
}
_ENGINE: Mapping[str, Setting] = {
    "python": OfOptions(kinds.program(), "The Python that runs the engine.", ("python",)),
    "threads": OfOptions(kinds.whole(1, 1024), "Threads that compute, on a CPU.", ("threads",)),
    "memory": OfOptions(
        kinds.size(),
        "What the engine may use of its device; else most of a GPU, and on a CPU six tenths of what"
        " is free when the peer starts.",
        ("memory",),
    ),
    "mode": OfOptions(kinds.choice(*get_args(ModeWish)), "Exact or fast.", ("mode",)),
    "dtype": OfOptions(kinds.choice(*get_args(DtypeWish)), "The numbers it uses.", ("dtype",)),
    "kernels": OfOptions(kinds.choice(*get_args(KernelsWish)), "Whose kernels.", ("kernels",)),
    "speculation": OfOptions(
        kinds.choice(*get_args(SpeculationWish)),
        "Whether tokens are computed ahead of answers where that pays.",
        ("speculation",),
    ),
    "context": OfConfig(
        kinds.whole(256),
        "The longest context, in tokens, of models that models.toml says none of; else their own.",
        "context_limit_tokens",
        is_live=True,
    ),
    "max_requests": OfConfig(
        kinds.whole(1, 65536), "Answers under way at one time.", "max_live_requests"
    ),
}
_EVICTION: Mapping[str, Setting] = {
    "strategy": OfConfig(
        kinds.choice(*get_args(Strategy)),
        "Whether the longest idle goes first, or only those of a lower priority or the same.",
        "eviction.strategy",
        True,
    ),
    "idle_ttl": OfConfig(
        kinds.duration_or_never(1, never=None),
        "How long a model stays when nobody asks it, and after the last one has gone the process of"
        " its device's engine: the next load waits for its start, some seconds more.",
        "eviction.idle_ttl_s",
        True,
        "idle_ttl",
    ),
    "min_residency": OfConfig(
        kinds.duration(0),
        "How long a model that was loaded stays at least.",
        "eviction.min_residency_s",
        True,
    ),
    "defrag_after_cycles": OfConfig(
        kinds.whole(1),
        "An engine is started anew after so many loads and unloads.",
        "eviction.defrag_after_cycles",
        True,
    ),
}
_VISION: Mapping[str, Setting] = {
    "min_pixels": OfConfig(
        kinds.whole(1), "Pictures are scaled up to this area.", "vision.min_pixels", True
    ),
    "max_pixels": OfConfig(
        kinds.whole(1), "Pictures are scaled down to this area.", "vision.max_pixels", True
    ),
    "max_image_pixels": OfConfig(
        kinds.whole(1, _MOST_PIXELS),
        "The area of the largest picture that is opened.",
        "vision.max_image_pixels",
        True,
    ),
}
_API: Mapping[str, Setting] = {
    "keys": OfConfig(api_keys(is_admin=False), "Who may ask.", "keys", True),
    "admin_keys": OfConfig(api_keys(is_admin=True), "Who may steer the peer.", "admin_keys", True),
    "anonymous": OfConfig(
        kinds.switch(),
        "Whether, beside those with keys, others may ask too: with what these leave.",
        "lets_anonymous_in",
        True,
    ),
    "max_concurrent": OfConfig(
        kinds.whole(1),
        "Requests of each key under way at this peer.",
        "max_concurrent",
        True,
    ),
    "requests_per_minute": OfConfig(
        kinds.whole(1), "Requests of each key at this peer.", "requests_per_minute", True
    ),
    "tokens_per_minute": OfConfig(
        kinds.whole(1),
        "Tokens, read and made, of each key at this peer.",
        "tokens_per_minute",
        True,
    ),
    "default_model": OfConfig(
        kinds.text(), "The model that answers for names nobody knows.", "names.default", True
    ),
    "cors_origins": OfConfig(
        kinds.origins(), "Pages that may ask from a browser.", "cors_origins", True
    ),
    "cold_wait": OfConfig(
        kinds.duration(0),
        "How long an answer that is not streamed waits for a model that loads, until it is refused"
        " for now (503); a stream tells how far that is, and waits to its end.",
        "cold_wait_s",
        True,
    ),
    "max_body": OfConfig(kinds.size(), "The largest request.", "max_body_bytes"),
    "max_messages": OfConfig(kinds.whole(1), "Messages in a request.", "limits.max_messages", True),
    "max_images": OfConfig(kinds.whole(0), "Pictures in a request.", "limits.max_images", True),
    "max_image": OfConfig(kinds.size(), "The largest picture.", "limits.max_image_bytes", True),
    "max_parts": OfConfig(
        kinds.whole(1), "Parts of a message, and calls in it.", "limits.max_parts", True
    ),
    "max_choices": OfConfig(
        kinds.whole(1, 1024), "Answers of a request (n, or prompts).", "limits.max_choices", True
    ),
    "max_tools": OfConfig(kinds.whole(0), "Tools in a request.", "limits.max_tools", True),
    "max_stops": OfConfig(
        kinds.whole(0, MAX_STOPS), "Stop strings in a request.", "limits.max_stops", True
    ),
    "max_stop_length": OfConfig(
        kinds.whole(1, MAX_STOP_CHARS),
        "Characters in a stop string.",
        "limits.max_stop_chars",
        True,
    ),
    "header_timeout": OfConfig(
        kinds.duration(0.1, 3600), "What a client has for its headers.", "connections.header_s"
    ),
    "body_timeout": OfConfig(
        kinds.duration(0.1, 3600),
        "The longest pause in a body that arrives, and how far it may fall behind 32 KiB/s.",
        "body_stall_s",
    ),
    "write_timeout": OfConfig(
        kinds.duration(0.1, 3600),
        "The longest pause of a reader of an answer.",
        "connections.write_s",
    ),
    "idle_timeout": OfConfig(
        kinds.duration(1), "How long a connection may rest.", "connections.idle_s"
    ),
    "max_connections": OfConfig(
        kinds.whole(1, 65536), "Connections at one time.", "connections.max_connections"
    ),
}

_TUI: Mapping[str, Setting] = {
    "theme": OfOptions(kinds.choice(*THEMES), "The dashboard's colours.", ("theme",), ("tui",)),
    "refresh": OfOptions(
        kinds.duration(FASTEST_S, 3600), "How often it draws, at most.", ("refresh",), ("tui",)
    ),
    "ascii": OfOptions(kinds.switch(), "Whether with plain characters.", ("as_ascii",), ("tui",)),
    "no_mouse": OfOptions(
        kinds.switch(), "Whether the mouse is the terminal's.", ("no_mouse",), ("tui",)
    ),
    "read_only": OfOptions(kinds.switch(), "Whether to look on only.", ("read_only",), ("tui",)),
}

SECTIONS: Mapping[str, Mapping[str, Setting]] = {
    "peer": _PEER,
    "gateway": _GATEWAY,
    "fleet": _FLEET,
    "engine": _ENGINE,
    "eviction": _EVICTION,
    "vision": _VISION,
    "api": _API,
    "tui": _TUI,
}


def fields_of_options(given: Mapping[str, object]) -> dict[str, object]:
    """What PeerConfig's fields are by such options, as Settings.fields names them."""
    every = (setting for known in SECTIONS.values() for setting in known.values())
    return {
        setting.field: given[setting.option]
        for setting in every
        if isinstance(setting, OfConfig) and setting.option in given
    }
