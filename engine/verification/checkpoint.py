"""A checkpoint's golden cases: prompt, pictures, every layer, states, logits and greedy tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..cache.place import Place
from ..cache.pools import PooledMemory, Pools
from ..current_device import open_device
from ..images import prepare_image
from ..models.base import ServableModel
from ..models.registry import load_model
from ..patches import image_patches
from ..positions import RopePositions, rope_positions
from ..preprocessor import PixelBudget, read_preprocessor
from ..template import read_template
from ..tokenizer import Tokenizer
from ..types import PreparedImage
from ..weights import read_tensors
from .checks import CaseResult, Check, close, equal, run_case
from .watched import Watched

PIXEL_TOLERANCE = 1e-6
_MOST_GREEDY_STEPS = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many of a case's greedy tokens are the best here too, each after the file's own."""

    name: str
    num_equal: int
    num_tokens: int


class CheckpointCases:
    """The cases of one folder, on a device: in float32 their numbers, in any dtype their tokens."""

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._folder = folder
        self._device = device
        open_device(device)
        self._model = load_model(folder, dtype, device, exact=dtype == torch.float32).model
        self._tokenizer = Tokenizer(folder / "tokenizer.json")
        self._template = read_template(folder)
        self._preprocessor = read_preprocessor(folder)
        self._cases = json.loads((folder / "expected" / "cases.json").read_text(encoding="utf-8"))

    def run(self) -> Iterator[CaseResult]:
        for case in self._cases["cases"]:
            yield run_case(case["case"], partial(self._checks, case))

    def agreements(self) -> Iterator[Agreement]:
        for case in self._cases["cases"]:
            with torch.inference_mode():
                yield self._agreement(case)

    def _agreement(self, case: dict[str, Any]) -> Agreement:
        expected = read_tensors(self._folder / "expected" / cast(str, case["file"]))
        prompt_ids = cast("list[int]", expected["input_ids"].tolist())
        greedy_ids = cast("list[int]", expected["greedy_ids"].tolist())
        images = [self._prepared(name) for name in case.get("images") or ()]
        token_ids = prompt_ids + greedy_ids[:-1]
        positions = self._positions(token_ids, images)
        axes = torch.from_numpy(positions.between(0, len(token_ids))).to(self._device)
        embeddings, _ = self._embedded(token_ids, images)
        pools, place = _one_place(self._model, len(token_ids), self._device)
        memory = PooledMemory(pools, [place], len(token_ids))
        hidden = self._model(embeddings[None], axes[:, None], memory)[0]
        best = self._model.logits(hidden[len(prompt_ids) - 1 :]).argmax(dim=-1)
        is_equal = best.cpu() == expected["greedy_ids"]
        return Agreement(case["case"], int(is_equal.sum()), len(greedy_ids))

    def _positions(self, token_ids: list[int], images: list[PreparedImage]) -> RopePositions:
        vision = self._model.shape.vision
        return rope_positions(
            token_ids,
            [image.grid_thw for image in images],
            vision.merge_size if vision else 1,
            self._model.shape.image_token_id,
        )

    def _embedded(
        self, token_ids: list[int], images: list[PreparedImage]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """[tokens, hidden], the pictures in their places; and the rows of the pictures."""
        model, ids = self._model, torch.tensor(token_ids, device=self._device)
        embeddings = model.embed(ids)
        if not images:
            return embeddings, None
        patches = self._patches(images).to(self._device, model.dtype)
        rows = model.encode_images(patches, [image.grid_thw for image in images])
        embeddings[ids == model.shape.image_token_id] = rows
        return embeddings, rows

    def _checks(self, case: dict[str, Any]) -> Iterator[Check]:
        tolerance = cast("dict[str, float]", self._cases["tolerance"])
        file = self._folder / "expected" / cast(str, case["file"])
        expected = read_tensors(file)
        token_ids = cast("list[int]", expected["input_ids"].tolist())
        images = [self._prepared(name) for name in case.get("images") or ()]
        if case["kind"] == "chat":
            yield from self._prompt_checks(case, token_ids, images)
        if images:
            yield from self._pixel_checks(case, file, expected, images)
        with torch.inference_mode():
            yield from self._forward_checks(case, expected, token_ids, images, tolerance)

    def _prompt_checks(
        self, case: dict[str, Any], token_ids: list[int], images: list[PreparedImage]
    ) -> Iterator[Check]:
        rendered = self._template.render(
            case["messages"],
            tools=case.get("tools") or (),
            now_s=0,
            options=case.get("template_kwargs"),
        )
        yield equal("rendered", rendered, case["rendered"])
        ours = self._tokenizer.encode(rendered)
        cells = iter(self._cells(image) for image in images)
        pad = self._model.shape.image_token_id
        expanded = [t for i in ours for t in [i] * (next(cells) if i == pad else 1)]
        yield equal("input_ids", expanded, token_ids)

    def _pixel_checks(
        self,
        case: dict[str, Any],
        file: Path,
        expected: dict[str, torch.Tensor],
        images: list[PreparedImage],
    ) -> Iterator[Check]:
        yield equal("grids", [list(i.grid_thw) for i in images], case["image_grid_thw"])
        grids = torch.tensor([i.grid_thw for i in images])
        yield close("image_grid_thw", grids, expected["image_grid_thw"], 0.0)
        yield equal("image_tokens", [self._cells(i) for i in images], case["tokens_per_image"])
        stored = np.load(file.with_suffix("").with_suffix(".pixels.npz"))["pixel_values"]
        yield close(
            "pixel_values", self._patches(images), torch.from_numpy(stored), PIXEL_TOLERANCE
        )

    def _forward_checks(
        self,
        case: dict[str, Any],
        expected: dict[str, torch.Tensor],
        token_ids: list[int],
        images: list[PreparedImage],
        tolerance: dict[str, float],
    ) -> Iterator[Check]:
        model, device = self._model, self._device
        logits_atol = tolerance["float32_logits_atol"]
        positions = self._positions(token_ids, images)
        axes = torch.from_numpy(positions.between(0, len(token_ids)))
        if "position_ids" in expected:
            yield close("position_ids", axes, expected["position_ids"], 0.0)
            yield equal("rope_delta", positions.delta, case["rope_delta"])
        with Watched(model) as seen:
            embeddings, rows = self._embedded(token_ids, images)
            if rows is not None:
                seen["image_embeds"] = rows
            pools, place = _one_place(model, len(token_ids) + _MOST_GREEDY_STEPS, device)
            memory = PooledMemory(pools, [place], len(token_ids))
            hidden = model(embeddings[None], axes[:, None].to(device), memory)[0]
            place.num_tokens = len(token_ids)
        seen["logits"] = model.logits(hidden)[expected["logits_at"].to(device)]
        yield from _state_checks(pools, expected, tolerance["float32_state_atol"])
        for name, value in expected.items():
            if name in seen:
                yield close(name, seen[name].cpu(), value, tolerance[_tolerance_of(name)])
            elif name not in _COMPARED_ELSEWHERE and not name.endswith(".recurrent"):
                yield Check(f"{name} is not known here", float("inf"), 0.0)
        yield from self._greedy_checks(
            case, expected, hidden, pools, place, positions.delta, logits_atol
        )

    def _greedy_checks(
        self,
        case: dict[str, Any],
        expected: dict[str, torch.Tensor],
        hidden: torch.Tensor,
        pools: Pools,
        place: Place,
        delta: int,
        atol: float,
    ) -> Iterator[Check]:
        model, device = self._model, self._device
        logits = model.logits(hidden[-1])
        ours: list[int] = []
        for step, best in enumerate(expected["greedy_top8_ids"]):
            yield close(
                f"greedy step {step}",
                logits[best.to(device)].cpu(),
                expected["greedy_top8_logits"][step],
                atol,
            )
            ours.append(int(logits.argmax()))
            if step + 1 < len(expected["greedy_top8_ids"]):
                position = len(expected["input_ids"]) + step + delta
                token = torch.tensor([[ours[-1]]], device=device)
                at = torch.full((3, 1, 1), position, device=device)
                memory = PooledMemory(pools, [place], 1)
                logits = model.logits(model(model.embed(token), at, memory)[0, -1])
                place.num_tokens += 1
        yield close("last logits", logits.cpu(), expected["greedy_last_logits"], atol)
        yield close("greedy_ids", torch.tensor(ours), expected["greedy_ids"], 0.0)
        text = self._tokenizer.decode(ours, skip_special=False)
        yield equal("greedy_text", text, case["greedy_text"])

    def _prepared(self, name: str) -> PreparedImage:
        assert self._preprocessor is not None, "a case with pictures in a folder without settings"
        data = (self._folder.parent / "images" / f"{name}.png").read_bytes()
        own = PixelBudget(self._preprocessor.min_pixels, self._preprocessor.max_pixels)
        return prepare_image(data, self._preprocessor, own)

    def _cells(self, image: PreparedImage) -> int:
        assert self._preprocessor is not None
        times, rows, columns = image.grid_thw
        return times * rows * columns // self._preprocessor.merge_size**2

    def _patches(self, images: list[PreparedImage]) -> torch.Tensor:
        sizes = self._preprocessor
        assert sizes is not None
        return torch.cat(
            [
                image_patches(i, sizes.patch_size, sizes.merge_size, sizes.temporal_patch_size)
                for i in images
            ]
        )


# What a case is run on, and what its own checks compare.
_COMPARED_ELSEWHERE = {
    "input_ids", "logits_at", "position_ids", "image_grid_thw",
    "greedy_ids", "greedy_top8_ids", "greedy_top8_logits", "greedy_last_logits",
}  # fmt: skip


def _tolerance_of(name: str) -> str:
    kind = "logits" if name == "logits" else "state" if name.startswith("state.") else "hidden"
    return f"float32_{kind}_atol"


def _one_place(model: ServableModel, num_tokens: int, device: torch.device) -> tuple[Pools, Place]:
    """Memory for one sequence, at its beginning."""
    page_tokens = 64
    num_pages = -(-num_tokens // page_tokens)
    pools = Pools(
        model.shape.memory, model.dtype, device,
        num_pages=num_pages, page_tokens=page_tokens, num_slots=1, operations=model.operations,
    )  # fmt: skip
    pools.clear_state(0)
    return pools, Place(list(range(num_pages)), slot=0)


def _state_checks(pools: Pools, expected: dict[str, torch.Tensor], atol: float) -> Iterator[Check]:
    """What serving keeps: the recurrent state, and the last three of the fixture's four columns."""
    for i, layer in pools.states.items():
        name = f"state.layer.{i}"
        if f"{name}.recurrent" in expected:
            yield close(
                f"{name}.recurrent", layer.recurrent[0].cpu(), expected[f"{name}.recurrent"], atol
            )
            kept = layer.conv[0].transpose(0, 1).cpu()
            yield close(f"{name}.conv kept", kept, expected[f"{name}.conv"][:, 1:], atol)
