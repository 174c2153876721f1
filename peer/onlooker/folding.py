"""What a peer tells of its fleet, kept up to date event by event. JSON in, JSON out."""

from __future__ import annotations

from typing import Any


def fold(told: dict[str, Any], event: str, news: dict[str, Any]) -> dict[str, Any]:
    """What is told after one event of `GET /fleet/events`; a new kind of event changes nothing.

    Raises KeyError, TypeError or AttributeError where no peer can have said that.
    """
    match event:
        case "snapshot":
            return news
        case "peer":
            return told | {"peers": _with(told["peers"], news, told["self"])}
        case "gone":
            kept = [peer for peer in told["peers"] if peer["node"] != news["node"]]
            return told | {"peers": kept}
        case "notices":
            return told | {"notices": news["notices"]}
        case "ages":
            return told | {"peers": [_aged(peer, news) for peer in told["peers"]]}
        case _:
            return told


def _with(peers: list[Any], changed: dict[str, Any], asked: str) -> list[Any]:
    """What is not told again of a peer is as it was. The one that is asked stands first, the others
    by name.
    """
    by_node = {peer["node"]: peer for peer in peers}
    by_node[changed["node"]] = by_node.get(changed["node"], {}) | changed
    return sorted(by_node.values(), key=lambda peer: (peer["node"] != asked, peer["name"]))


def _aged(peer: dict[str, Any], ages: dict[str, Any]) -> dict[str, Any]:
    if peer["node"] not in ages:
        return peer
    silent_s, load_age_s = ages[peer["node"]]
    load = peer["load"]
    if load is not None and load_age_s is not None:
        load = load | {"age_s": load_age_s}
    return peer | {"silent_s": silent_s, "load": load}
