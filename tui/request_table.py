"""The table of requests: what stands in its columns. Nothing here knows of widgets."""

from __future__ import annotations

from cortex.peer.onlooker import request_wording as wording
from cortex.peer.onlooker.request_pictures import RequestPicture
from cortex.peer.units import age, tokens

from .columns import Cell, Column, Table, fit, number_column, words_column
from .look import Look


def _short_id(one: RequestPicture) -> str:
    """All begin alike, and a few of their random digits tell them apart."""
    return one.id.removeprefix("req_")


def _peers(one: RequestPicture, look: Look, num_cells: int) -> Cell:
    """Where there is no room for both, the one that answers."""
    words = wording.peers(one, between=">")
    return Cell(fit(words if len(words) <= num_cells else f">{one.host}", num_cells, look))


def _stage(one: RequestPicture, look: Look, num_cells: int) -> Cell:
    style = look.state_style("loading") if wording.is_waiting(one) else ""
    return Cell(fit(wording.stage(one), num_cells, look), style)


def _id(one: RequestPicture, look: Look, num_cells: int) -> Cell:
    return Cell(_short_id(one)[:num_cells])


def _first_token_s(one: RequestPicture) -> float:
    return float("inf") if one.first_token_s is None else one.first_token_s


def _searched(one: RequestPicture) -> str:
    return " ".join((one.id, one.model, one.peer, one.host, wording.stage(one)))


REQUESTS: Table[RequestPicture] = Table(
    (
        Column("ID", (6, 12), _id, lambda one: one.id),
        words_column("MODEL", (12, 26), lambda one: one.model or "-"),
        Column("PEER", (10, 22), _peers, wording.peers),
        Column("STAGE", (12, 14), _stage, wording.stage),
        number_column(
            "IN", (6, 7), lambda one: tokens(one.prompt_tokens), lambda one: -one.prompt_tokens
        ),
        number_column(
            "OUT",
            (5, 6),
            lambda one: tokens(one.completion_tokens),
            lambda one: -one.completion_tokens,
        ),
        number_column("TTFT", (5, 6), wording.first_token, _first_token_s),
        number_column("TOK/S", (5, 5), wording.tokens_per_s, lambda one: -(one.tokens_per_s or 0)),
        number_column("AGE", (4, 5), lambda one: age(one.seconds), lambda one: -one.seconds),
    ),
    key=lambda one: one.id,
    searched=_searched,
)
