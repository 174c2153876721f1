"""Many disks, one list of models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.engine.errors import ModelNotFound
from cortex.peer.fleet.view import FleetView
from cortex.peer.gossip.ids import ModelId
from cortex.peer.models.folder import Unserved
from cortex.peer.models.names import ModelNames
from cortex.peer.routing.catalogue import Uniter, to_info, unite
from cortex.peer.types import ModelInfo, Whereabouts

_A, _B = ModelId(b"aaaaaaaa"), ModelId(b"bbbbbbbb")
_NAMES = ModelNames()


def own(model_id: str, weights: bytes, size_bytes: int = 5) -> ModelInfo:
    return ModelInfo(model_id, None, ("text",), 1000, 1, weights, size_bytes)


@pytest.fixture
def view_of(fleet_values: Any) -> Any:
    """A fleet of this peer, which has nothing, and others by the weights that each calls `m`."""

    def make(*weights: ModelId, **fields: Any) -> FleetView:
        me = replace(fleet_values.peer(0, is_self=True), stored=(), placed=())
        others = (
            fleet_values.peer(number, model_id="m", model=model, **fields)
            for number, model in enumerate(weights, start=1)
        )
        return FleetView("tag", me.node, peers=(me, *others))

    return make


def test_the_same_weights_on_many_peers_are_one_model(view_of: Any) -> None:
    (model,) = unite([own("m", _A)], view_of(_A, _A)).models
    assert (model.id, len(model.holders)) == ("m", 3)


def test_a_name_belongs_to_the_weights_that_most_peers_hold(view_of: Any) -> None:
    united = unite([own("m", _A)], view_of(_B, _B))
    assert [model.id for model in united.models] == ["m", "m@61616161"]
    assert united.find("m", _NAMES).weights == _B
    assert united.find("m@61616161", _NAMES).weights == _A
    assert united.find("m@62626262", _NAMES).weights == _B
    assert len(united.find("m", _NAMES).holders) == 2, "two weights are never mixed"


def test_of_two_weights_held_equally_often_the_lower_hash_has_the_name(view_of: Any) -> None:
    assert unite([own("m", _B)], view_of(_A)).find("m", _NAMES).weights == _A
    assert unite([own("m", _A)], view_of(_B)).find("m", _NAMES).weights == _A


def test_weights_under_two_names_are_held_by_all_who_have_them(view_of: Any) -> None:
    united = unite([own("other", _A)], view_of(_A))
    for name in ("m", "other"):
        assert {holder.id for holder in united.find(name, _NAMES).holders} == {"m", "other"}


def test_what_has_no_name_for_its_weights_yet_is_offered_here_alone(view_of: Any) -> None:
    united = unite([own("m", b""), own("new", b"")], view_of(_A))
    assert [model.id for model in united.models] == ["m", "new"]
    assert united.find("m", _NAMES).weights == _A
    assert [holder.id for holder in united.find("new", _NAMES).holders] == ["new"]


@pytest.mark.parametrize("state", ["dead", "left"])
def test_who_is_gone_offers_nothing(view_of: Any, state: str) -> None:
    assert unite([], view_of(_A, state=state)).models == ()


def test_an_unknown_model_is_refused_with_the_nearest_ids(view_of: Any) -> None:
    with pytest.raises(ModelNotFound, match="not in this fleet") as caught:
        unite([own("qwen3", _B)], view_of(_A)).find("qwen4", _NAMES)
    assert "qwen3" in caught.value.hint


def test_what_this_peer_passes_over_is_no_slip_of_the_pen(view_of: Any) -> None:
    unserved = {"qwen4": Unserved("its weights are quantised", "pull others")}
    with pytest.raises(ModelNotFound, match=r"'qwen4' is here, .*: its weights are quantised"):
        unite([own("qwen3", _B)], view_of(_A), unserved).find("qwen4", _NAMES)


def test_aliases_and_the_default_mean_models_of_others_too(view_of: Any) -> None:
    united = unite([], view_of(_A))
    assert united.find("fast", ModelNames({"fast": "m"})).id == "m"
    assert united.find("gpt-4o", ModelNames(default="m")).id == "m"
    assert united.known("gpt-4o", ModelNames(default="m")) is None


def test_what_is_shipped_with_the_program_stands_last(view_of: Any) -> None:
    models = unite([own("cortex-nano", _B), own("mine", b"")], view_of(_A)).models
    assert [model.id for model in models] == ["mine", "m", "cortex-nano"]


def test_the_list_says_where_a_model_is_warm_and_when_it_could_be(view_of: Any) -> None:
    view = view_of(_A, _A)
    cold = replace(view.peers[2], placed=())
    view = replace(view, peers=(*view.peers[:2], cold))
    (model,) = unite([], view).models
    assert to_info(model, view, lambda model, size_bytes: 7.0).where == (
        Whereabouts("peer1", "warm"),
        Whereabouts("peer2", "cold", 7.0),
    )


def test_how_long_a_load_takes_is_asked_once_for_all_who_hold_a_model(view_of: Any) -> None:
    asked: list[ModelId] = []

    def eta_s(model: ModelId, size_bytes: int) -> float:
        asked.append(model)
        return 7.0

    view = view_of(_A, _A, _A, warmth="cold")
    (model,) = unite([], view).models
    assert [place.eta_s for place in to_info(model, view, eta_s).where] == [7.0, 7.0, 7.0]
    assert asked == [_A]


def test_disks_are_united_again_only_where_one_has_changed_or_a_peer_has_come_or_gone(
    view_of: Any, fleet_values: Any
) -> None:
    uniter, mine, unserved = Uniter(), [own("mine", _B)], dict[str, Unserved]()
    view = view_of(_A, _B)
    first = uniter.unite(mine, view, unserved)

    def after(view: FleetView) -> Any:
        return uniter.unite(mine, view, unserved)

    def with_second(**changes: Any) -> FleetView:
        me, second, third = view.peers
        return replace(view, version=2, peers=(me, replace(second, **changes), third))

    busier = fleet_values.load(view.peers[1].node, num_live=7)
    for no_other_disk in (view, with_second(load=busier), with_second(placed=(), state="suspect")):
        assert after(no_other_disk) is first
    gone = after(with_second(state="dead"))
    assert _A not in gone.holders
    assert after(view) == first
    [stored] = view.peers[1].stored
    assert after(with_second(stored=(replace(stored, id="new"),))).find("new", _NAMES).weights == _A
    assert after(with_second(stored=())) == gone
    assert {*uniter.unite([own("mine", _A)], view, unserved).holders[_A]} > {*first.holders[_A]}
    refused = {"old": Unserved("its weights are quantised", "pull others")}
    assert uniter.unite(mine, view, refused).unserved == refused
