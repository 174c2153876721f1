"""What a draft head says is what its weights say, whatever became of the memory it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from cortex.engine.cache.encoded import EncoderCache
from cortex.engine.cache.pages import PageAllocator
from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.cache.store import PrefixStore
from cortex.engine.decoding.inputs import ChunkInputs
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.patches import image_patches
from cortex.engine.recall import HostStore, Recall
from cortex.engine.runner import Runner
from cortex.engine.sampler import choose_tokens
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.speculation.head import HeadDrafts, Unread
from cortex.engine.types import PreparedImage, Prompt, Sampling
from cortex.engine.weights import read_tensors
from cortex.engine.wishes import KernelsWish
from tests.engine.asking import golden_case

CPU = torch.device("cpu")
PAGE_TOKENS = 16
_FOLDER = Path(__file__).parents[2] / "golden" / "qwen3_5"
_HEADS, _KV_HEADS, _HEAD_DIM, _ROTARY_DIM, _THETA, _EPS = 4, 2, 64, 16, 1e7, 1e-6
# Of the eight turned pairs of a head: by which axis (time, height, width).
_AXES = [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.fixture(scope="module", params=["auto", "torch"])
def model(request: pytest.FixtureRequest) -> ServableModel:
    kernels: KernelsWish = request.param
    return load_model(_FOLDER, torch.float32, CPU, kernels=kernels, drafts=True).model


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    tensors = read_tensors(_FOLDER / "model.safetensors")
    return {
        name.removeprefix("mtp."): tensor.double()
        for name, tensor in tensors.items()
        if name.startswith("mtp.") or name == "lm_head.weight"
    }


def normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + _EPS).sqrt() * (1 + weight)


def turned(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """x [tokens, heads, dim] by positions [3, tokens]."""
    half = _ROTARY_DIM // 2
    speeds = _THETA ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = (positions[_AXES].T * speeds)[:, None]  # [tokens, 1, half]
    a, b, rest = x[..., :half], x[..., half:_ROTARY_DIM], x[..., _ROTARY_DIM:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def plain_head(
    weights: dict[str, torch.Tensor],
    embeddings: torch.Tensor,
    hidden: torch.Tensor,
    positions: torch.Tensor,
) -> torch.Tensor:
    """The head in float64, of a whole sequence at once: [tokens, hidden]."""
    w = {name.removeprefix("layers.0."): tensor for name, tensor in weights.items()}
    count = len(hidden)
    both = (
        normed(embeddings, w["pre_fc_norm_embedding.weight"]),
        normed(hidden, w["pre_fc_norm_hidden.weight"]),
    )
    x = torch.cat(both, dim=-1) @ w["fc.weight"].T
    y = normed(x, w["input_layernorm.weight"])
    q, gate = (y @ w["self_attn.q_proj.weight"].T).view(count, _HEADS, 2 * _HEAD_DIM).chunk(2, -1)
    k, v = (
        (y @ w[f"self_attn.{name}_proj.weight"].T).view(count, _KV_HEADS, _HEAD_DIM)
        for name in ("k", "v")
    )
    q = turned(normed(q, w["self_attn.q_norm.weight"]), positions)
    k = turned(normed(k, w["self_attn.k_norm.weight"]), positions)
    k, v = (x.repeat_interleave(_HEADS // _KV_HEADS, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * _HEAD_DIM**-0.5
    unseen = torch.ones(count, count, dtype=torch.bool).triu(1)
    out = torch.einsum("hqk,khd->qhd", scores.masked_fill(unseen, -torch.inf).softmax(-1), v)
    x = x + (out * gate.sigmoid()).flatten(1) @ w["self_attn.o_proj.weight"].T
    y = normed(x, w["post_attention_layernorm.weight"])
    up, swish = y @ w["mlp.up_proj.weight"].T, y @ w["mlp.gate_proj.weight"].T
    x = x + (up * swish * swish.sigmoid()) @ w["mlp.down_proj.weight"].T
    return normed(x, w["norm.weight"])


@dataclass
class Line:
    """One sequence on its way through a runner and a head, by hand."""

    model: ServableModel
    weights: dict[str, torch.Tensor]
    prompt: Prompt
    pools: Pools = field(init=False)
    head: HeadDrafts = field(init=False)
    runner: Runner = field(init=False)
    allocator: PageAllocator = field(init=False)
    recall: Recall = field(init=False)
    sequence: Sequence = field(init=False)
    num_accepted: int = 0

    def __post_init__(self) -> None:
        model = self.model
        self.pools = Pools(
            model.shape.memory, model.dtype, CPU,
            num_pages=64, page_tokens=PAGE_TOKENS, num_slots=1, operations=model.operations,
        )  # fmt: skip
        # Whoever reads what was never written is found out.
        for pool in self.pools.keys_values.values():
            for tensor in pool:
                tensor.fill_(torch.nan)
        nothing = torch.tensor([], dtype=torch.long)
        self.head = HeadDrafts(model, self.pools, partial(choose_tokens, forbidden_ids=nothing))
        self.runner = Runner(model, self.pools, EncoderCache(1 << 20), self.head)
        self.allocator = PageAllocator(64)
        store: HostStore = PrefixStore(1 << 24)
        self.recall = Recall(self.pools, store, store.tree("model", None), grid_tokens=48)
        self.begin()

    def begin(self) -> None:
        self.sequence = open_sequence(
            Wanted("a", 0), self.prompt, self.model.shape,
            capacity_tokens=1024, grid_tokens=24, now_s=0.0,
        )  # fmt: skip
        self.place()

    def place(self) -> None:
        self.sequence.pages, self.sequence.slot = self.allocator.allocate(30), 0
        self.recall.begin(self.sequence)

    def read_prompt(self) -> None:
        sequence, hidden = self.sequence, torch.empty(0)
        for end in [cut for cut in sequence.cuts if cut > sequence.num_computed]:
            hidden = self.runner.prefill(sequence, end)
            self.recall.note(sequence)
            self.recall.remember_noted()
        self.draw(self.runner.logits(hidden[-1:])[0])

    def draw(self, scores: torch.Tensor) -> None:
        self.sequence.append(int(scores.argmax()))

    def step(self, drafts: list[int] | None = None) -> None:
        if not drafts:
            self.draw(self.runner.decode([self.sequence])[self.sequence])
            return
        verification = self.runner.decode_ahead([self.sequence], {self.sequence: drafts})
        self.draw(verification.rows[self.sequence][0])
        while confirmed := verification.confirmed():
            self.draw(confirmed[self.sequence])
        verification.commit()
        self.num_accepted += verification.num_taken

    def embeddings(self) -> torch.Tensor:
        """[tokens, hidden] of all known tokens, pictures in their places."""
        rows = self.model.embed(torch.tensor(self.sequence.tokens))
        vision = self.model.shape.vision
        assert vision is not None
        for span in self.sequence.image_spans:
            image = span.image
            sizes = vision.patch_size, vision.merge_size, vision.temporal_patch_size
            patches = image_patches(image, *sizes).to(self.model.dtype)
            rows[span.start : span.end] = self.model.encode_images(patches, [image.grid_thw])
        return rows

    def expected(self, most: int) -> list[int]:
        """What the head has to say, by plain means: of the whole sequence, in float64."""
        count = len(self.sequence.tokens)
        at = torch.tensor([self.sequence.positions.at(i) for i in range(count + most)]).T
        embeddings = self.embeddings()
        hidden = self.model(embeddings[None], at[:, None, :count])[0].double()[: count - 1]
        embeddings = embeddings.double()
        guesses: list[int] = []
        for number in range(count - 1, count - 1 + most):
            out = plain_head(self.weights, embeddings[1 : number + 1], hidden, at[:, :number])
            guesses.append(int((out[-1] @ self.weights["lm_head.weight"].T).argmax()))
            hidden = torch.cat([hidden, out[-1:]])
            behind = self.model.embed(torch.tensor(guesses[-1:])).double()
            embeddings = torch.cat([embeddings, behind])
        return guesses

    def drafted(self, most: int) -> list[int]:
        return self.head.draft({self.sequence: most})[self.sequence]


def prompt_of(token_ids: list[int], images: tuple[PreparedImage, ...] = ()) -> Prompt:
    greedy = Sampling(seed=0, temperature=0.0)
    return Prompt(tuple(token_ids), (20,), images, greedy, 400, (), ())


TEXT = prompt_of([i * 37 % 900 for i in range(70)])


@torch.inference_mode()
def test_guesses_are_those_of_a_plain_computation_of_the_whole(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    """Behind a prompt in chunks, plain steps, drafts that were right and drafts that were wrong."""
    line = Line(model, weights, TEXT)
    line.read_prompt()
    for number in range(12):
        drafts = line.drafted(4)
        assert drafts == line.expected(4), number
        wrong = [(drafts[0] + 1) % 900, *drafts[1:]]
        line.step([drafts, wrong, None][number % 3])
        if number % 4 == 3:
            line.step()
            line.step()


@torch.inference_mode()
def test_model_and_head_look_up_once_where_a_chunk_lies(
    model: ServableModel, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Counted(PooledMemory):
        def __init__(
            self, pools: Pools, places: list[Place], num_new: int, inputs: ChunkInputs
        ) -> None:
            made.append(num_new)
            super().__init__(pools, places, num_new, inputs)

    for module in ("runner", "speculation.head"):
        monkeypatch.setattr(f"cortex.engine.{module}.PooledMemory", Counted)
    line = Line(model, weights, TEXT)
    line.read_prompt()

    assert made == [20, 24, 24, 2]


@torch.inference_mode()
def test_a_draft_may_go_on_from_one_that_was_right(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    line = Line(model, weights, TEXT)
    line.read_prompt()
    known = Line(model, weights, TEXT)
    known.read_prompt()
    for _ in range(12):
        known.step()
    for num_right in (1, 3, 2):
        assert line.drafted(3) == line.expected(3)
        start = len(line.sequence.tokens)
        line.step([*known.sequence.tokens[start : start + num_right], 901])
    assert line.num_accepted == 6
    assert line.sequence.tokens == known.sequence.tokens[: len(line.sequence.tokens)]


@torch.inference_mode()
def test_what_was_remembered_of_a_prompt_is_there_for_the_head(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    line = Line(model, weights, TEXT)
    line.read_prompt()
    line.begin()
    assert line.sequence.num_cached > 0
    line.read_prompt()
    assert line.drafted(4) == line.expected(4)


@torch.inference_mode()
def test_a_prompt_that_parts_from_a_remembered_one_reads_nothing_that_was_never_written(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    line = Line(model, weights, TEXT)
    line.read_prompt()
    line.prompt = prompt_of([*TEXT.token_ids[:20], *range(600, 640)])
    line.begin()
    assert line.sequence.num_cached == 20
    line.read_prompt()
    place = line.sequence.place()
    rows = line.pools.rows(place.pages, 0, place.num_tokens)
    for tensor in line.pools.keys_values[len(line.pools.states) + 2]:
        assert tensor[rows].isfinite().all()
    line.step(line.drafted(4))


@torch.inference_mode()
@pytest.mark.parametrize("num_plain", [0, 1, 9])
def test_a_sequence_that_gave_way_goes_on_elsewhere_with_its_head(
    model: ServableModel, weights: dict[str, torch.Tensor], num_plain: int
) -> None:
    line = Line(model, weights, TEXT)
    line.read_prompt()
    line.step(line.drafted(2))
    for _ in range(num_plain):
        line.step()
    line.recall.suspend(line.sequence)
    assert line.sequence.saved is not None
    line.place()
    assert line.drafted(4) == line.expected(4)


@torch.inference_mode()
def test_answers_about_pictures_are_foreseen_where_their_positions_are(
    model: ServableModel, weights: dict[str, torch.Tensor], golden: Path
) -> None:
    prompt, _ = golden_case(golden, "two_images")
    token_ids, images = list(prompt.token_ids), prompt.images
    line = Line(model, weights, prompt_of(token_ids, images))
    line.read_prompt()
    assert line.sequence.positions.delta != 0
    for _ in range(3):
        drafts = line.drafted(3)
        assert drafts == line.expected(3)
        line.step(drafts)


@torch.inference_mode()
def test_a_head_that_is_not_asked_for_long_lets_an_answer_go(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    line = Line(model, weights, TEXT)
    line.read_prompt()
    for _ in range(50):
        line.step()
    assert line.drafted(2) == line.expected(2)
    for _ in range(66):
        line.step()
    assert line.sequence.unread is None


@torch.inference_mode()
def test_of_many_answers_no_more_is_read_at_once_than_memory_is_there_for(
    model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = Pools(
        model.shape.memory, model.dtype, CPU,
        num_pages=20, page_tokens=PAGE_TOKENS, num_slots=5, operations=model.operations,
    )  # fmt: skip
    nothing, allocator = torch.tensor([], dtype=torch.long), PageAllocator(20)
    head = HeadDrafts(model, pools, partial(choose_tokens, forbidden_ids=nothing))
    generator = torch.Generator().manual_seed(0)
    unread: dict[Sequence, torch.Tensor] = {}
    for number in range(5):
        sequence = open_sequence(
            Wanted("a", 0), prompt_of([number * 71 + i for i in range(61)]),
            model.shape, capacity_tokens=80, grid_tokens=24, now_s=0.0,
        )  # fmt: skip
        sequence.pages, sequence.slot = allocator.allocate(4), number
        sequence.num_computed = 60
        unread[sequence] = torch.randn(60, model.shape.hidden_size, generator=generator)

    def drafted(*sequences: Sequence) -> dict[Sequence, list[int]]:
        for sequence in sequences:
            sequence.unread = Unread(0, [unread[sequence]])
        return head.draft(dict.fromkeys(sequences, 1))

    alone = {sequence: drafted(sequence)[sequence] for sequence in unread}
    num_rows: list[int] = []
    foresee = model.foresee

    def counted(embeddings: torch.Tensor, *more: Any) -> torch.Tensor:
        num_rows.append(len(embeddings))
        return foresee(embeddings, *more)

    monkeypatch.setattr(model, "foresee", counted)
    assert drafted(*unread) == alone
    assert num_rows == [240, 60]


def test_an_answer_that_gives_way_keeps_nothing_of_others(
    model: ServableModel, weights: dict[str, torch.Tensor]
) -> None:
    line = Line(model, weights, TEXT)
    with torch.inference_mode():
        line.read_prompt()
        line.head.note({line.sequence: torch.ones(32, 64)[3:4]})
        line.sequence.num_computed += 1
        line.recall.suspend(line.sequence)
    assert line.sequence.unread is not None
    (piece,) = line.sequence.unread.pieces
    assert piece.untyped_storage().nbytes() == piece.nbytes
    assert len(piece) == 2
