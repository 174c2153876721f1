"""Models on disk: where they are found, and what is said of them."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import ModelNotFound
from cortex.engine.models.registry import ARCHITECTURES
from cortex.peer.config import Locations, ModelConfig, PeerConfig
from cortex.peer.models.catalogue import pulling_dir, scan
from cortex.peer.models.folder import MODEL_TYPES
from cortex.peer.models.shelf import Shelf


def put_model(folder: Path, **config: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3_5"} | config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "chat_template.jinja").write_text("")


@pytest.fixture
def config(tmp_path: Path) -> PeerConfig:
    return PeerConfig(
        locations=Locations(tmp_path / "data", tmp_path / "state", hub_dir=tmp_path / "hub"),
        models_dirs=(tmp_path / "mine",),
        embedded_dir=tmp_path / "embedded",
    )


def ids(config: PeerConfig) -> list[str]:
    return [model.id for model in scan(config).models]


def test_places_are_searched_in_order_and_the_embedded_model_comes_last(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "embedded")
    put_model(tmp_path / "hub" / "models--org--big" / "snapshots" / "abc")
    put_model(tmp_path / "data" / "models" / "org" / "small")
    put_model(tmp_path / "mine" / "own")
    assert ids(config) == ["own", "org/small", "org/big", "cortex-nano"]


def test_a_folder_that_is_named_goes_by_that_name_alone(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "own")
    put_model(tmp_path / "far" / "weights")
    models = (
        ModelConfig("renamed", source=tmp_path / "mine" / "own"),
        ModelConfig("far-off", source=tmp_path / "far" / "weights"),
        ModelConfig("elsewhere"),
    )
    assert ids(dataclasses.replace(config, models=models)) == ["renamed", "far-off"]


def test_the_context_of_a_model_is_what_the_operator_says_at_most(
    config: PeerConfig, tmp_path: Path
):
    for name in ("short", "long"):
        put_model(tmp_path / "mine" / name, max_position_embeddings=8192)
    models = (ModelConfig("short", context_tokens=512), ModelConfig("long", context_tokens=99_999))
    found = scan(dataclasses.replace(config, models=models)).models
    assert {model.id: model.context_length for model in found} == {"short": 512, "long": 8192}


def test_what_the_engine_can_load_is_what_is_offered(config: PeerConfig, tmp_path: Path):
    for model_type in (*ARCHITECTURES, "mamba"):
        put_model(tmp_path / "mine" / model_type, model_type=model_type)

    assert ids(config) == sorted(ARCHITECTURES)
    assert sorted(MODEL_TYPES["torch"]) == sorted(ARCHITECTURES)


def test_model_found_twice_belongs_to_the_first_place(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "twin")
    put_model(tmp_path / "data" / "models" / "twin")
    assert [model.dir for model in scan(config).models] == [tmp_path / "mine" / "twin"]


def test_models_dir_may_be_a_model_itself(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine")
    assert ids(config) == ["mine"]


def test_hub_snapshot_is_the_one_main_points_at(config: PeerConfig, tmp_path: Path):
    repository = tmp_path / "hub" / "models--org--m"
    put_model(repository / "snapshots" / "zzz")
    put_model(repository / "snapshots" / "aaa")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("aaa\n")
    assert scan(config).models[0].dir == repository / "snapshots" / "aaa"


def test_hub_snapshot_of_main_gives_way_to_the_newest_whole_one_while_its_files_are_lacking(
    config: PeerConfig, tmp_path: Path
):
    repository = tmp_path / "hub" / "models--org--m"
    for commit, age_s in (("old", 3_000), ("whole", 2_000), ("part", 1_000), ("main", 0)):
        put_model(repository / "snapshots" / commit)
        modified_s = 1_700_000_000 - age_s
        os.utime(repository / "snapshots" / commit, (modified_s, modified_s))
    for commit in ("part", "main"):
        folder = repository / "snapshots" / commit
        modified = folder.stat().st_mtime
        (folder / "model.safetensors").unlink()
        os.utime(folder, (modified, modified))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("main")
    assert [model.dir for model in scan(config).models] == [repository / "snapshots" / "whole"]


def test_model_cut_into_files_is_one_when_all_that_its_index_names_are_there(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "mine" / "m")
    names = [f"model-{n}-of-2.safetensors" for n in (1, 2)]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1], "c": names[0]}})
    (tmp_path / "mine" / "m" / "model.safetensors.index.json").write_text(index)
    for name in names:
        with pytest.raises(ModelNotFound, match=f"does not serve it: {name} is missing"):
            scan(config).find("m")
        (tmp_path / "mine" / "m" / name).write_bytes(b"")
    assert ids(config) == ["m"]


@pytest.mark.parametrize(
    ("described", "reason", "hint"),
    [
        ({"model_type": "qwen3_5_moe"}, "its model_type is 'qwen3_5_moe'", "it serves llama, "),
        ({"quantization_config": {"bits": 4}}, "its weights are quantised", "bfloat16"),
        ({"text_config": {"quantization_config": {"bits": 4}}}, "weights are quantised", "float16"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "its weights are quantised", "bfloat16"),
    ],
)
def test_what_is_here_and_not_served_says_why_to_whoever_names_it_and_is_nobodys_default(
    config: PeerConfig, tmp_path: Path, described: dict[str, Any], reason: str, hint: str
):
    put_model(tmp_path / "embedded")
    put_model(tmp_path / "mine" / "m1", **described)
    assert ids(config) == ["cortex-nano"]
    with pytest.raises(ModelNotFound, match="'m1' is here, but") as caught:
        scan(config).find("m1")
    assert reason in caught.value.message
    assert hint in caught.value.hint


def test_a_model_of_another_kind_is_not_told_to_be_on_its_way(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "m1", model_type="whisper")
    (tmp_path / "mine" / "m1" / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound, match="its model_type is 'whisper'"):
        scan(config).find("m1")


def test_a_snapshot_without_a_config_is_none_that_transformers_reads(
    config: PeerConfig, tmp_path: Path
):
    put_model(snapshot := tmp_path / "hub" / "models--org--m" / "snapshots" / "abc")
    (snapshot / "config.json").unlink()
    with pytest.raises(ModelNotFound, match="no model in the layout that transformers reads"):
        scan(config).find("org/m")


def test_a_hugging_face_cache_may_be_a_folder_of_models(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "models--org--m" / "snapshots" / "abc")
    put_model(tmp_path / "mine" / "own")
    assert ids(config) == ["own", "org/m"]


@pytest.mark.parametrize("is_usual", [True, False])
def test_nothing_is_pulled_into_a_hugging_face_cache_that_is_a_folder_of_models(
    config: PeerConfig, tmp_path: Path, is_usual: bool
):
    own = config.locations.data_dir / "models"
    (cache := tmp_path / ("hub" if is_usual else "mine")).mkdir()
    assert pulling_dir(dataclasses.replace(config, models_dirs=(cache,))) == (
        own if is_usual else cache
    )
    put_model(cache / "models--org--m" / "snapshots" / "abc" / "bf16")
    for place in (cache, cache / "models--org--m", cache / "models--org--m" / "snapshots" / "abc"):
        dirs = (place, tmp_path / "plain")
        assert pulling_dir(dataclasses.replace(config, models_dirs=dirs)) == tmp_path / "plain"
        assert pulling_dir(dataclasses.replace(config, models_dirs=(place,))) == own


@pytest.mark.parametrize("publisher", ["Qwen", "nvidia"])
def test_what_was_pulled_although_a_cache_has_it_is_what_is_served(
    config: PeerConfig, tmp_path: Path, publisher: str
):
    put_model(tmp_path / "mine" / f"models--{publisher}--x" / "snapshots" / "abc")
    put_model(pulled := pulling_dir(config) / publisher / "x")
    put_model(beside := tmp_path / "mine" / publisher / "y")
    put_model(tmp_path / "mine" / f"models--{publisher}--y" / "snapshots" / "abc")
    assert scan(config).find(f"{publisher}/x").dir == pulled
    assert scan(config).find(f"{publisher}/y").dir == beside


def test_a_plain_folder_may_be_called_as_a_repository_of_a_hugging_face_cache_is(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "mine" / "models--org--copied")
    put_model(tmp_path / "mine" / "models--of" / "mine")
    assert ids(config) == ["models--of/mine", "models--org--copied"]
    assert pulling_dir(config) == tmp_path / "mine"


@pytest.mark.parametrize("model_id", ["m-GGUF", "org/m-GGUF"])
def test_a_folder_of_gguf_is_no_model_and_says_what_to_pull(
    config: PeerConfig, tmp_path: Path, model_id: str
):
    (folder := tmp_path / "mine" / model_id).mkdir(parents=True)
    (folder / os.fsdecode(b"caf\xe9-Q4_K_M.gguf")).write_bytes(b"")
    assert ids(config) == []
    with pytest.raises(ModelNotFound, match="its weights are in GGUF, and") as caught:
        scan(config).find(model_id)
    assert "safetensors" in caught.value.hint


@pytest.mark.parametrize("asked", ["mine", "m-Q4_K_M"])
def test_files_of_gguf_that_lie_by_themselves_are_told_of_and_hide_no_model(
    config: PeerConfig, tmp_path: Path, asked: str
):
    put_model(tmp_path / "mine" / "own")
    (tmp_path / "mine" / "m-Q4_K_M.gguf").write_bytes(b"")
    assert ids(config) == ["own"]
    with pytest.raises(ModelNotFound, match="its weights are in GGUF, and"):
        scan(config).find(asked)


@pytest.mark.parametrize("has_tokenizer", [True, False])
@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("m.Q8_0.gguf", "GGUF"),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model.bin"),
        ("consolidated.00.pth", "consolidated.pth"),
    ],
)
def test_weights_in_another_form_are_not_told_to_be_on_their_way(
    config: PeerConfig, tmp_path: Path, file: str, form: str, has_tokenizer: bool
):
    put_model(folder := tmp_path / "mine" / "m")
    (folder / "model.safetensors").unlink()
    (folder / file).write_bytes(b"")
    if not has_tokenizer:
        (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound, match=f"its weights are in {form}, and") as caught:
        scan(config).find("m")
    assert "convert" in caught.value.hint


@pytest.mark.parametrize("file", ["training_args.bin", "model.safetensors.index.json"])
def test_safetensors_that_are_on_their_way_are_told_to_be(
    config: PeerConfig, tmp_path: Path, file: str
):
    put_model(folder := tmp_path / "mine" / "m")
    (folder / "model.safetensors").unlink()
    if file.endswith(".json"):
        (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / file).write_text('{"weight_map": {"a": "model.safetensors"}}')
    with pytest.raises(ModelNotFound, match=r"model\.safetensors is missing"):
        scan(config).find("m")


def test_a_folder_whose_name_is_no_text_is_passed_over(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / os.fsdecode(b"caf\xe9"))
    put_model(tmp_path / "mine" / "own")
    assert ids(config) == ["own"]
    with pytest.raises(ModelNotFound, match="no UTF-8"):
        scan(config).find("caf?")


def test_a_folder_that_is_served_stands_for_one_of_its_name_that_is_not(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "mine" / "twin", quantization_config={"bits": 4})
    put_model(tmp_path / "data" / "models" / "twin")
    assert scan(config).find("twin").dir == tmp_path / "data" / "models" / "twin"


@pytest.mark.parametrize("lacking", ["config.json", "tokenizer.json", "model.safetensors"])
def test_incomplete_folder_is_no_model(config: PeerConfig, tmp_path: Path, lacking: str):
    put_model(tmp_path / "mine" / "m")
    (tmp_path / "mine" / "m" / lacking).unlink()
    assert ids(config) == []


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"model_type": ["qwen3_5"]}', "[" * 100_000, "\udcff"]
)
def test_broken_config_is_no_model(config: PeerConfig, tmp_path: Path, text: str):
    put_model(tmp_path / "mine" / "m")
    (tmp_path / "mine" / "m" / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert ids(config) == []


def test_architecture_the_engine_does_not_know_is_not_listed(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "m", model_type="gpt2")
    assert ids(config) == []


def test_vision_needs_a_vision_config_and_a_preprocessor(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "blind", vision_config={})
    put_model(tmp_path / "mine" / "sees", vision_config={})
    (tmp_path / "mine" / "sees" / "preprocessor_config.json").write_text("{}")
    found = {model.id: model.capabilities for model in scan(config).models}
    assert found == {"blind": ("text",), "sees": ("text", "vision")}


def test_context_length_is_the_models_own_below_the_operators_limit(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "mine" / "a", text_config={"max_position_embeddings": 262144})
    put_model(tmp_path / "mine" / "b", max_position_embeddings=2048)
    put_model(tmp_path / "mine" / "c", max_position_embeddings="many")
    assert [m.context_length for m in scan(config).models] == [262144, 2048, 4096]
    models = (ModelConfig("a", context_tokens=131072),)
    capped = dataclasses.replace(config, context_limit_tokens=1024, models=models)
    # What is said of one model goes before what is said of all.
    assert [m.context_length for m in scan(capped).models] == [131072, 1024, 1024]


def test_unknown_model_is_refused_with_its_nearest_neighbour(config: PeerConfig, tmp_path: Path):
    put_model(tmp_path / "mine" / "qwen3.5-4b")
    with pytest.raises(ModelNotFound) as caught:
        scan(config).find("qwen3.5-4")
    assert "'qwen3.5-4'" in caught.value.message
    assert caught.value.hint.startswith("did you mean qwen3.5-4b?")


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("qwen3:8b", "did you mean Qwen/Qwen3-8B"),
        ("llama3.1", "did you mean meta-llama/Llama-3.1-8B-Instruct?"),
        ("llama3.1:8b", "did you mean meta-llama/Llama-3.1-8B-Instruct?"),
        ("lmstudio-community/Qwen3-8B-GGUF", "did you mean Qwen/Qwen3-8B"),
        ("local-model", "there is: Qwen/Qwen3-8B, "),
    ],
)
def test_a_name_from_another_server_is_met_with_the_model_it_means_and_with_what_keeps_it(
    config: PeerConfig, tmp_path: Path, asked: str, hint: str
):
    for name in ("Qwen/Qwen3-8B", "Qwen/Qwen3.5-4B", "meta-llama/Llama-3.1-8B-Instruct"):
        put_model(tmp_path / "mine" / name)
    with pytest.raises(ModelNotFound) as caught:
        scan(config).find(asked)
    assert caught.value.hint.startswith(hint)
    assert "an alias in models.toml gives a model another name" in caught.value.hint


def test_an_unknown_name_of_megabytes_costs_no_more_than_a_short_one(
    config: PeerConfig, tmp_path: Path
):
    put_model(tmp_path / "mine" / "qwen3.5-4b")
    began_s = time.process_time()
    with pytest.raises(ModelNotFound) as caught:
        scan(config).find("qwen3.5-4b" * 1_000_000)
    assert time.process_time() - began_s < 1
    assert len(caught.value.message) < 200


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose insides the system shows to nobody, not even to root."""
    folder = tmp_path / "mine" / "private"
    put_model(folder / "secret")
    look: Any = os.stat
    list_names: Any = os.listdir

    def check(path: Any) -> None:
        if not isinstance(path, int) and folder in Path(str(path)).parents:
            raise PermissionError(errno.EACCES, "Permission denied", path)

    def stat(path: Any, **options: Any) -> os.stat_result:
        check(path)
        return look(path, **options)

    def listdir(path: Any) -> list[str]:
        check(Path(path) / "anything")
        return list_names(path)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "listdir", listdir)
    return folder


def test_folder_that_may_not_be_read_hides_no_other(
    config: PeerConfig, tmp_path: Path, private: Path
):
    put_model(tmp_path / "mine" / "own")
    put_model(tmp_path / "data" / "models" / "other")
    assert ids(config) == ["own", "other"]


def test_models_dir_that_may_not_be_read_is_empty(
    config: PeerConfig, tmp_path: Path, private: Path
):
    put_model(tmp_path / "data" / "models" / "other")
    places = (private / "secret", private)
    assert ids(dataclasses.replace(config, models_dirs=places)) == ["other"]


def test_peer_without_any_model_says_how_to_get_one(config: PeerConfig):
    with pytest.raises(ModelNotFound) as caught:
        scan(config).find("m")
    assert "--models" in caught.value.hint


async def test_a_config_that_cannot_be_read_is_told_once_however_often_somebody_looks(
    config: PeerConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    put_model(tmp_path / "mine" / "torn")
    path = tmp_path / "mine" / "torn" / "config.json"
    path.write_text('{"model_type": ')
    shelf = Shelf(lambda: config)
    for _ in range(3):
        assert not (await shelf.look()).models
    assert [record.args for record in caplog.records] == [(path,)]
