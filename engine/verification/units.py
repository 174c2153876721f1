"""The stand-alone pieces: gated delta rule, convolution, norms, rotary, positions, tower tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from ..layers.gated_delta import causal_conv_silu, gated_delta_rule
from ..layers.norms import GatedRMSNorm, ZeroCentredRMSNorm
from ..layers.rotary import RopeConfig, Yarn, cos_sin, inverse_frequencies, rotate, vision_cos_sin
from ..models.qwen3_5_vision import merge_block_coordinates, resample_positions
from ..positions import rope_positions
from ..weights import read_tensors
from .checks import CaseResult, Check, close, equal, run_case, summed_up

_DELTA_ATOL = 1e-4
_ROPE_ATOL, _LARGE_ROPE_ATOL, _LARGE_POSITION = 1e-5, 2e-2, 4096
_TABLE_ATOL = 1e-5
_EPS = 1e-6


def unit_cases(folder: Path) -> Iterator[CaseResult]:
    """Every piece that lies in the folder."""
    yield from _gated_delta_cases(folder)
    yield from _rope_cases(folder)
    yield from _rope_index_cases(folder)
    yield from _vision_cases(folder)


def _read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    described = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return described, read_tensors(folder / f"{name}.safetensors")


def _group(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    start = prefix + "."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def _gated_delta_cases(folder: Path) -> Iterator[CaseResult]:
    described, tensors = _read(folder, "gated_delta")
    for case in described["cases"]:
        name = cast(str, case["case"])
        yield run_case(f"gated_delta {name}", partial(_delta_checks, _group(tensors, name)))
    for n in range(3):
        yield run_case(f"causal_conv conv{n}", partial(_conv_checks, _group(tensors, f"conv{n}")))
    norm = _group(tensors, "rmsnorm")
    rms = ZeroCentredRMSNorm(len(norm["weight"]), _EPS)
    rms.weight.data = norm["weight"]
    yield summed_up("rms_norm", [close("y", rms(norm["x"]).detach(), norm["y"], _DELTA_ATOL)])
    norm = _group(tensors, "gatednorm")
    gated = GatedRMSNorm(len(norm["weight"]), _EPS)
    gated.weight.data = norm["weight"]
    ours = gated(norm["x"], norm["z"]).detach()
    yield summed_up("gated_rms_norm", [close("y", ours, norm["y"], _DELTA_ATOL)])


def _delta_checks(t: dict[str, torch.Tensor]) -> list[Check]:
    """The whole sequence in chunks, and again one token at a time."""
    start = t.get("initial_state", torch.zeros_like(t["final_state"]))
    q, k, v, g, beta = (t[name] for name in ("q", "k", "v", "g", "beta"))
    # A copy each: a step writes its state in place.
    out, state = gated_delta_rule(q, k, v, g, beta, start.clone())
    steps: list[torch.Tensor] = []
    step_state = start.clone()
    for n in range(q.shape[1]):
        at = slice(n, n + 1)
        one, step_state = gated_delta_rule(
            q[:, at], k[:, at], v[:, at], g[:, at], beta[:, at], step_state
        )
        steps.append(one)
    return [
        close("chunked out", out, t["out"], _DELTA_ATOL),
        close("chunked state", state, t["final_state"], _DELTA_ATOL),
        close("recurrent out", torch.cat(steps, dim=1), t["out"], _DELTA_ATOL),
        close("recurrent state", step_state, t["final_state"], _DELTA_ATOL),
    ]


def _conv_checks(t: dict[str, torch.Tensor]) -> list[Check]:
    """All at once and one more step; the fixture is [batch, channels, time], ours time first."""
    x, weight = t["x"].transpose(1, 2), t["weight"]
    before = x.new_zeros(x.shape[0], weight.shape[1] - 1, x.shape[2])
    y, after = causal_conv_silu(x, weight, before)
    y_next, after_next = causal_conv_silu(t["x_next"].transpose(1, 2), weight, after)
    # The fixture keeps one input more than a kernel of four needs: the oldest column.
    padded = torch.cat((x.new_zeros(x.shape[0], weight.shape[1], x.shape[2]), x), dim=1)
    oldest = padded[:, -weight.shape[1]]
    return [
        close("oldest input", oldest, t["state_after_x"][..., 0], _DELTA_ATOL),
        close("oldest next", after[:, 0], t["state_after_next"][..., 0], _DELTA_ATOL),
        close("y", y.transpose(1, 2), t["y"], _DELTA_ATOL),
        close("state", after.transpose(1, 2), t["state_after_x"][..., 1:], _DELTA_ATOL),
        close("next y", y_next.transpose(1, 2), t["y_next"], _DELTA_ATOL),
        close(
            "next state", after_next.transpose(1, 2), t["state_after_next"][..., 1:], _DELTA_ATOL
        ),
    ]


def _rope_cases(folder: Path) -> Iterator[CaseResult]:
    described, tensors = _read(folder, "rope")
    for variant in described["variants"]:
        raw = cast("dict[str, Any]", variant["rope_parameters"])
        section = cast("list[int]", raw["mrope_section"])
        rope = RopeConfig(
            theta=float(raw["rope_theta"]),
            rotary_dim=int(variant["head_dim"] * raw["partial_rotary_factor"]),
            mrope_section=(section[0], section[1], section[2]),
            scaling=Yarn(float(raw["factor"]), int(raw["original_max_position_embeddings"]))
            if raw["rope_type"] == "yarn"
            else None,
        )
        t = _group(tensors, variant["variant"])
        yield run_case(f"rope {variant['variant']}", partial(_rope_checks, t, rope))


def _rope_checks(t: dict[str, torch.Tensor], rope: RopeConfig) -> Iterator[Check]:
    inv_freq = inverse_frequencies(rope)
    yield close("inv_freq", inv_freq, t["inv_freq"], _ROPE_ATOL)
    cos, sin = cos_sin(t["positions"], inv_freq, rope)
    ours = {"cos": cos, "sin": sin}
    ours["q_rotated"], ours["k_rotated"] = (rotate(t[n], cos, sin) for n in ("q", "k"))
    is_small = (t["positions"] < _LARGE_POSITION).all(dim=0)
    for name, value in ours.items():
        expected = t[name]
        axis = value.ndim - 2
        for label, where, atol in (
            ("", is_small, _ROPE_ATOL),
            (" far", ~is_small, _LARGE_ROPE_ATOL),
        ):
            rows = where.nonzero()[:, 0]
            pair = value.index_select(axis, rows), expected.index_select(axis, rows)
            yield close(name + label, *pair, atol)


def _rope_index_cases(folder: Path) -> Iterator[CaseResult]:
    described = json.loads((folder / "rope_index.json").read_text(encoding="utf-8"))
    for n, case in enumerate(described["cases"]):
        ours = rope_positions(
            case["input_ids"],
            [tuple(g) for g in case["image_grid_thw"]],
            described["spatial_merge_size"],
            described["image_token_id"],
            [tuple(g) for g in case["video_grid_thw"]],
            described["video_token_id"],
        )
        axes = ours.between(0, len(case["input_ids"]))
        checks = [
            equal("position_ids", axes.tolist(), case["position_ids"]),
            equal("rope_delta", ours.delta, case["rope_delta"]),
        ]
        yield summed_up(f"rope_index {n}", checks)


def _vision_cases(folder: Path) -> Iterator[CaseResult]:
    described, tensors = _read(folder, "vision_positions")
    merge, head_dim = described["spatial_merge_size"], described["vision_head_dim"]
    for entry in described["grids"]:
        times, height, width = cast("list[int]", entry["grid_thw"])
        grid = (times, height, width)
        t = _group(tensors, entry["key"])
        rows, columns = merge_block_coordinates(grid, merge)
        cos, sin = vision_cos_sin(rows, columns, head_dim)
        table = resample_positions(tensors["table"], grid, merge)
        checks = [
            close("coordinates", torch.stack((rows, columns), 1), t["hw"], 0.0),
            close("cos", cos, t["cos"], _TABLE_ATOL),
            close("sin", sin, t["sin"], _TABLE_ATOL),
            close("positions", table, t["pos_embed"], _TABLE_ATOL),
        ]
        yield summed_up(f"vision_positions {times}x{height}x{width}", checks)
