"""Names of models: ids, aliases, and the model for names that nobody knows."""

from __future__ import annotations

from cortex.peer.models.names import ModelNames
from cortex.peer.types import ModelInfo

M1, M2 = (ModelInfo(name, None, ("text",), 4096, 0) for name in ("m1", "m2"))
MODELS = (M1, M2)


def test_a_name_means_the_model_of_that_id_or_alias() -> None:
    names = ModelNames({"claude-m2": "m2"})
    assert names.meant_by("m1", MODELS) is M1
    assert names.meant_by("claude-m2", MODELS) is M2
    assert names.meant_by("m3", MODELS) is None


def test_an_id_goes_before_an_alias_of_the_same_name() -> None:
    names = ModelNames({"m1": "m2"})
    assert names.meant_by("m1", MODELS) is M1
    assert names.meant_by("m1", (M2,)) is M2


def test_an_alias_of_a_model_that_is_not_there_means_nothing() -> None:
    names = ModelNames({"claude": "m3"})
    assert names.meant_by("claude", MODELS) is None
    assert list(names.listed(MODELS)) == [M1, M2]


def test_aliases_are_listed_behind_the_models() -> None:
    names = ModelNames({"claude-m2": "m2", "m1": "m2"})
    listed = list(names.listed(MODELS))
    assert [model.id for model in listed] == ["m1", "m2", "claude-m2"]
    assert listed[2].context_length == M2.context_length


def test_unknown_names_mean_a_model_only_where_one_was_chosen() -> None:
    assert ModelNames().for_unknown(MODELS) is None
    assert ModelNames(default="m2").for_unknown(MODELS) is M2
    assert ModelNames({"best": "m2"}, "best").for_unknown(MODELS) is M2
    assert ModelNames(default="m3").for_unknown(MODELS) is None
