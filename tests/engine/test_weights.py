"""Every tensor has its place, every parameter is filled, and what is wrong is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import ModelInvalid
from cortex.engine.estimating import estimate
from cortex.engine.kernels.linear import CpuLinear
from cortex.engine.memory import Share
from cortex.engine.models.registry import LoadedModel, load_model
from cortex.engine.recall import HostStore
from cortex.engine.serving import load_service
from cortex.engine.weights import read_tensors, weight_files
from cortex.engine.wishes import Wishes

CPU = torch.device("cpu")


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    """A checkpoint that may be broken."""
    target = tmp_path / "model"
    target.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "qwen3_5_text" / name, target)
    return target


@pytest.fixture
def with_head(golden: Path, tmp_path: Path) -> Path:
    """One with a draft head, that may be broken too."""
    return Path(shutil.copytree(golden / "qwen3_5", tmp_path / "model"))


def load(folder: Path, dtype: torch.dtype = torch.float32) -> LoadedModel:
    return load_model(folder, dtype, CPU)


@torch.inference_mode()
def computed(loaded: LoadedModel) -> torch.Tensor:
    """What all weights together say about a few tokens, [1, tokens, vocab]."""
    token_ids = torch.arange(20)[None]
    hidden = loaded.model(loaded.model.embed(token_ids), token_ids.expand(3, 1, -1))
    return loaded.model.logits(hidden)


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace, add or (None) drop tensors; a name's dots are written as two underscores."""
    tensors = read_tensors(folder / "model.safetensors")
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del tensors[key]
        else:
            tensors[key] = tensor
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__layers__0__surprise": torch.zeros(2)}, ("model.layers.0.surprise", "[2]")),
        ({"model__norm__weight": None}, ("1 parameters", "language_model.norm.weight", "[64]")),
        ({"model__norm__weight": torch.zeros(7)}, ("model.norm.weight", "[7]", "makes it [64]")),
    ],
    ids=["unknown", "missing", "misshapen"],
)
def test_a_wrong_tensor_is_refused_with_its_name_file_and_shapes(
    folder: Path, changes: dict[str, torch.Tensor | None], words: tuple[str, ...]
) -> None:
    rewrite(folder, **changes)

    for refuse in (load, estimated):
        with pytest.raises(ModelInvalid) as caught:
            refuse(folder)
        told = caught.value.message
        assert all(word in told for word in (folder.name, "model.safetensors", *words)), told


def estimated(folder: Path) -> object:
    return estimate(folder, CPU, Wishes())


def test_draft_heads_are_known_extras(folder: Path) -> None:
    rewrite(folder, mtp__fc__weight=torch.zeros(2, 2))

    assert load(folder).weight_bytes > 0


def test_what_follows_from_the_config_may_lie_in_the_files(golden: Path, tmp_path: Path) -> None:
    """A tied head written out, and the rotary frequencies of older files."""
    folder = Path(shutil.copytree(golden / "qwen3", tmp_path / "qwen3"))
    before = load(folder).weight_bytes
    rewrite(
        folder,
        lm_head__weight=torch.zeros(1088, 64),
        model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(16),
    )

    assert load(folder).weight_bytes == before


def test_decays_stay_float32_in_a_bfloat16_model(folder: Path) -> None:
    parameters = dict(load(folder, torch.bfloat16).model.named_parameters())

    for name, parameter in parameters.items():
        kept = name.endswith(("A_log", "linear_attn.norm.weight"))
        assert parameter.dtype == (torch.float32 if kept else torch.bfloat16), name


def test_shards_load_as_one_file_does(folder: Path, tmp_path: Path) -> None:
    whole = computed(load(folder))
    tensors = read_tensors(folder / "model.safetensors")
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()

    assert torch.equal(computed(load(folder)), whole)


def test_an_index_cannot_name_files_outside_the_folder(folder: Path) -> None:
    index = {"weight_map": {"x": "../model/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(ModelInvalid, match="not in the folder"):
        weight_files(folder)


def test_a_truncated_file_is_refused_with_its_path(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(ModelInvalid, match=r"model\.safetensors"):
        load(folder)


def test_progress_never_goes_back_and_ends_whole(folder: Path) -> None:
    told: list[tuple[int, int]] = []

    load_model(folder, torch.float32, CPU, lambda done, total: told.append((done, total)))

    assert told == sorted(told)
    total = (folder / "model.safetensors").stat().st_size
    assert told[-1] == (total, total) and told.count((total, total)) == 1
    assert told[len(told) // 2][0] < total


def test_on_the_cpu_every_linear_layer_is_packed_and_a_tied_head_is_held_once(
    folder: Path,
) -> None:
    loaded = load(folder)
    model, stored = loaded.model, read_tensors(folder / "model.safetensors")
    values = sum(t.numel() for t in stored.values())
    table = next(t for name, t in stored.items() if name.endswith("embed_tokens.weight")).float()

    assert not [m for m in model.modules() if type(m) is nn.Linear]
    if isinstance(model.lm_head, CpuLinear):
        # Without kernels of our own it is held twice: no row can be looked up in oneDNN's order.
        assert loaded.weight_bytes == 4 * (values + table.numel())
    else:
        assert loaded.weight_bytes == held_bytes(model) >= 4 * values
    assert torch.equal(model.embed(torch.arange(len(table))), table)
    hidden = torch.randn(3, table.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.logits(hidden), hidden @ table.T)


def held_bytes(model: nn.Module) -> int:
    """Of all tensors that the model's parts hold, each counted once."""
    parts = [value for module in model.modules() for value in vars(module).values()]
    tensors = [*model.parameters(), *(each for each in parts if isinstance(each, torch.Tensor))]
    held = {each.data_ptr(): each.nbytes for each in tensors if each.numel()}
    frequencies = sum(
        t.nbytes for m in model.modules() for n, t in vars(m).items() if n == "_inv_freq"
    )
    return sum(held.values()) - frequencies


def test_loading_a_model_does_not_import_torchs_compiler(golden: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path;"
        "from cortex.engine.models.registry import load_model;"
        "load_model(Path(sys.argv[1]), torch.float32, torch.device('cpu'));"
        "print('torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(golden / "qwen3_5")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout == "False\n"


def has_head(folder: Path, *, drafts: bool = True) -> bool:
    return load_model(folder, torch.float32, CPU, drafts=drafts).model.shape.has_draft_head


def test_a_head_whose_weights_are_there_is_loaded_if_it_is_to_draft(with_head: Path) -> None:
    assert has_head(with_head)
    assert not has_head(with_head, drafts=False)


def test_weights_say_whether_there_is_a_head_and_not_the_config(with_head: Path) -> None:
    config = json.loads((with_head / "config.json").read_text())
    names = list(read_tensors(with_head / "model.safetensors"))
    del config["text_config"]["mtp_num_hidden_layers"]
    (with_head / "config.json").write_text(json.dumps(config))
    assert has_head(with_head)

    rewrite(with_head, **{n.replace(".", "__"): None for n in names if n.startswith("mtp.")})
    assert not has_head(with_head)


@pytest.mark.parametrize(
    "changes",
    [
        {"mtp__norm__weight": None},
        {"mtp__layers__1__input_layernorm__weight": torch.zeros(64)},
        {"mtp__embed_tokens__weight": torch.zeros(1088, 64)},
    ],
    ids=["not whole", "of two layers", "with an embedding of its own"],
)
def test_a_head_of_another_make_is_left_alone(
    with_head: Path, changes: dict[str, torch.Tensor | None]
) -> None:
    rewrite(with_head, **changes)
    assert not has_head(with_head)


def test_a_head_of_other_sizes_is_refused_with_the_tensors_name(with_head: Path) -> None:
    rewrite(with_head, mtp__fc__weight=torch.zeros(64, 64))
    with pytest.raises(ModelInvalid, match=r"mtp\.fc\.weight"):
        has_head(with_head)
    with pytest.raises(ModelInvalid, match=r"mtp\.fc\.weight"):
        estimate(with_head, CPU, Wishes())


def test_what_a_head_keeps_of_tokens_is_counted_as_a_layers(with_head: Path) -> None:
    using, without = (
        estimate(with_head, CPU, Wishes("exact", speculation=s)) for s in ("auto", "off")
    )
    # Two layers of the model attend, and the head.
    assert using.kv_bytes_per_token * 2 == without.kv_bytes_per_token * 3
    assert using.state_bytes == without.state_bytes
    assert using.workspace_bytes_per_sequence > without.workspace_bytes_per_sequence
    head_bytes = sum(
        tensor.numel() * 4
        for name, tensor in read_tensors(with_head / "model.safetensors").items()
        if name.startswith("mtp.")
    )
    assert using.weights_bytes - without.weights_bytes == pytest.approx(head_bytes, rel=0.01)


def test_who_does_without_speculation_gives_the_head_no_memory(with_head: Path) -> None:
    store: HostStore = PrefixStore(0)
    loaded = load_service(with_head, CPU, store, Share(1 << 29), Wishes("exact", speculation="off"))
    assert loaded.budget.costs == estimate(with_head, CPU, Wishes("exact", speculation="off"))
