"""The trainee: the engine's own model with its training-only head, optimisers and checkpoint."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cortex.engine.models.qwen3_5 import GatedDeltaNet, Qwen35
from cortex.engine.models.qwen3_5_config import parse_config
from cortex.engine.weights import read_tensors
from training.cells import CellReader
from training.nano import MAX_PIXELS, model_config, write_folder


class Trainee(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Qwen35(parse_config(model_config()))
        self.cell_reader = CellReader(self.model.config.text.hidden_size)


def new_trainee(seed: int) -> Trainee:
    """A freshly initialised model."""
    torch.manual_seed(seed)
    trainee = Trainee()
    nn.init.normal_(trainee.model.language_model.embed_tokens.weight, std=0.05)
    tower = trainee.model.visual
    assert tower is not None
    nn.init.normal_(tower.pos_embed.weight, std=0.02)
    for module in trainee.modules():
        if isinstance(module, GatedDeltaNet):
            # Time steps from 0.001 to 0.1: heads that forget fast beside heads that hardly do.
            heads = module.dt_bias.shape[0]
            steps = torch.logspace(math.log10(0.001), math.log10(0.1), heads)
            module.dt_bias.data = steps + torch.log(-torch.expm1(-steps))
    return trainee


# Of the mean of the weights, what a step leaves as it was: it looks back some 500 steps.
_MEAN_KEEPS = 0.998


@dataclass(frozen=True, slots=True)
class Optimisers:
    """Muon for the matrices inside blocks (Jordan et al., 2024), AdamW for everything else.

    Steps of few conversations at a high rate jump about the place that they mean: `mean`, the
    running mean of the weights (Polyak & Juditsky, 1992), lies there, and is what is exported.
    """

    trainee: Trainee
    muon: torch.optim.Optimizer
    adamw: torch.optim.Optimizer
    mean: AveragedModel

    def step(self, lr: float) -> None:
        for optimiser in (self.muon, self.adamw):
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.mean.update_parameters(self.trainee)


def new_optimisers(trainee: Trainee) -> Optimisers:
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in trainee.named_parameters():
        in_block = ".layers." in name or ".blocks." in name
        (matrices if in_block and parameter.ndim == 2 else others).append(parameter)
    muon = torch.optim.Muon(
        matrices,
        weight_decay=0.05,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)
    fall_behind = cast("Any", get_ema_multi_avg_fn)(_MEAN_KEEPS)
    mean = AveragedModel(trainee, multi_avg_fn=fall_behind)
    return Optimisers(trainee, muon, adamw, mean)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come, and by which recipe (as JSON text)."""

    step: int
    seconds: float
    recipe: str


def save_state(path: Path, optimisers: Optimisers, progress: Progress) -> None:
    """Written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    content = {
        "trainee": optimisers.trainee.state_dict(),
        "mean": optimisers.mean.state_dict(),
        "muon": optimisers.muon.state_dict(),
        "adamw": optimisers.adamw.state_dict(),
        **asdict(progress),
    }
    torch.save(content, temporary)
    os.replace(temporary, path)


def load_state(path: Path, optimisers: Optimisers) -> Progress:
    """Restore a state of our own making."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    optimisers.trainee.load_state_dict(content["trainee"])
    optimisers.mean.load_state_dict(content["mean"])
    optimisers.muon.load_state_dict(content["muon"])
    optimisers.adamw.load_state_dict(content["adamw"])
    return Progress(content["step"], content["seconds"], content["recipe"])


_PREFIXES = (("language_model.", "model.language_model."), ("visual.", "model.visual."))


def export_weights(model: Qwen35, folder: Path, max_pixels: int = MAX_PIXELS) -> None:
    """The published layout: bf16 safetensors with the published names, and the other files."""
    write_folder(folder, max_pixels)
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        keep = name.endswith(("linear_attn.A_log", "linear_attn.norm.weight"))
        value = parameter.detach().to("cpu", torch.float32 if keep else torch.bfloat16)
        tensors[_published(name)] = value.contiguous()
    temporary = folder / "model.safetensors.tmp"
    save_file(tensors, temporary, metadata={"format": "pt"})
    os.replace(temporary, folder / "model.safetensors")


def import_weights(model: Qwen35, folder: Path) -> None:
    """Start from published weights, where the training state is gone."""
    tensors = read_tensors(folder / "model.safetensors")
    own = {name: tensors[_published(name)].float() for name, _ in model.named_parameters()}
    model.load_state_dict(own)


def _published(name: str) -> str:
    return next(name.replace(own, out, 1) for own, out in _PREFIXES if name.startswith(own))


def export_tower(trainee: Trainee, file: Path) -> None:
    """The tower and the head that reads its cells, bf16, for a language model to be trained on."""
    tensors = {
        name: parameter.detach().to("cpu", torch.bfloat16).contiguous()
        for name, parameter in _tower_and_head(trainee)
    }
    save_file(tensors, file, metadata={"format": "pt"})


def import_tower(trainee: Trainee, file: Path) -> None:
    """Take the tower and its head from what `export_tower` wrote. Raises KeyError for a lack."""
    tensors = read_tensors(file)
    with torch.no_grad():
        for name, parameter in _tower_and_head(trainee):
            parameter.copy_(tensors[name])


def _tower_and_head(trainee: Trainee) -> Iterator[tuple[str, nn.Parameter]]:
    tower = ("model.visual.", "cell_reader.")
    return (each for each in trainee.named_parameters() if each[0].startswith(tower))
