"""Whatever is drafted, and however well: each answer is what it would be without, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.cache.drafted import DraftedMemory
from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.cache.store import PrefixStore
from cortex.engine.memory import Share
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.recall import HostStore
from cortex.engine.serving import Capacity, load_service
from cortex.engine.speculation.guesses import Drafter
from cortex.engine.speculation.lookup import PromptLookup
from cortex.engine.speculation.paying import Choice, Offer, Prices
from cortex.engine.speculation.speculator import Speculator
from cortex.engine.types import Prompt, Sampling, TokenScores
from cortex.engine.weights import read_tensors
from cortex.engine.wishes import KernelsWish, SpeculationWish, Wishes
from tests.engine import asking
from tests.engine.asking import CPU, ROOMY, TOKENIZER_SIZE, Asked

TURN = 7  # the token that begins a turn in these prompts

_GOLDEN = Path(__file__).parents[2] / "golden"
_KERNELS: tuple[KernelsWish, ...] = ("auto", "torch")


def drawn_anew(folder: Path, seed: int, to: Path) -> Path:
    """The checkpoint with other weights, drawn as widely as its own."""
    generator = torch.Generator().manual_seed(seed)
    tensors = read_tensors(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            drawn = torch.randn(tensor.shape, generator=generator) * tensor.float().std()
            tensors[name] = drawn.to(tensor.dtype)
    save_file(tensors, to / "model.safetensors")
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    return to


def made_foreseeable(folder: Path, mixing: float, to: Path) -> Path:
    """The checkpoint with layers that say little: the next token follows from the last alone, all
    but. Its draft head, which sees that one as well, is right about as often.
    """
    tensors = read_tensors(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight")):
            tensors[name] = tensor * mixing
    size = tensors["mtp.fc.weight"].shape[0]
    # The first half of what it is given are embeddings.
    tensors["mtp.fc.weight"] = torch.eye(size, 2 * size, dtype=torch.bfloat16)
    tensors["mtp.pre_fc_norm_embedding.weight"] = torch.zeros(size, dtype=torch.bfloat16)
    tensors["mtp.norm.weight"] = tensors["model.language_model.norm.weight"].clone()
    save_file(tensors, to / "model.safetensors")
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    return to


@pytest.fixture(scope="module", params=["qwen3_5", "qwen3"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=_KERNELS)
def model(request: pytest.FixtureRequest, name: str) -> ServableModel:
    kernels: KernelsWish = request.param
    return load_model(_GOLDEN / name, torch.float32, CPU, kernels=kernels, drafts=True).model


@pytest.fixture(scope="module", params=_KERNELS)
def foreseeable(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ServableModel:
    folder = made_foreseeable(_GOLDEN / "qwen3_5", 0.3, tmp_path_factory.mktemp("foreseeable"))
    kernels: KernelsWish = request.param
    return load_model(folder, torch.float32, CPU, kernels=kernels, drafts=True).model


@dataclass
class Told:
    """A drafter that knows the answers, and says every so many-th token wrong."""

    wholes: Sequence[Sequence[int]]
    wrong_every: int
    tokens: list[int] = field(default_factory=list[int])

    def take(self, token_ids: Sequence[int]) -> None:
        self.tokens += token_ids

    def draft(self, most: int) -> list[int]:
        start = len(self.tokens)
        known = next((w for w in self.wholes if list(w[:start]) == self.tokens), ())
        return [
            (token_id + 1) % 1000 if (start + i) % self.wrong_every == 0 else token_id
            for i, token_id in enumerate(known[start : start + most])
        ]


@dataclass
class Nonsense:
    """A drafter that is never right but by chance."""

    num_tokens: int = 0

    def take(self, token_ids: Sequence[int]) -> None:
        self.num_tokens += len(token_ids)

    def draft(self, most: int) -> list[int]:
        return [(self.num_tokens * 7919 + i * 104729) % TOKENIZER_SIZE for i in range(most)]


def all_of_them(offers: list[Offer], prices: Prices, most: int) -> list[Choice]:
    """Every guess, paying or not, as far as there are rows; the head's where none was found."""
    choices: list[Choice] = []
    for offer in offers:
        is_foreseen = not offer.looked_up.num_guesses
        wanted = (offer.foreseen if is_foreseen else offer.looked_up).num_guesses
        num_guesses = min(wanted, most)
        most -= num_guesses
        choices.append(Choice(num_guesses, is_foreseen and num_guesses > 0))
    return choices


def served(
    model: ServableModel,
    make_drafter: Callable[[], Drafter] | None,
    capacity: Capacity = ROOMY,
    store_bytes: int = 1 << 24,
    *,
    asks_head: bool = False,
    is_exact: bool = True,
) -> Asked:
    return asking.opened(
        model, capacity, store_bytes,
        is_exact=is_exact,
        make_drafter=make_drafter, asks_head=asks_head, choose_guesses=all_of_them,
    )  # fmt: skip


def prompt_of(token_ids: list[int], **changes: Any) -> Prompt:
    # Behind the token that shows it, as of real chats: prompts that begin alike are cut alike.
    starts = tuple(i for i, token_id in enumerate(token_ids[:-1], start=1) if token_id == TURN)
    return asking.prompt_of(token_ids, boundaries=starts, **changes)


def alone(model: ServableModel, prompt: Prompt) -> Asked:
    asked = served(model, None)
    asked.add("alone", prompt)
    asked.run()
    return asked


def scored(asked: Asked, name: str) -> list[tuple[int, TokenScores | None]]:
    """The tokens of an answer with their scores."""
    return [(e.token_id, e.scores) for e in asked.told(name) if e.token_id is not None]


def told(model: ServableModel, prompt: Prompt, wrong_every: int = 1 << 30) -> Told:
    whole = [*prompt.token_ids, *alone(model, prompt).answers["alone"]]
    return Told([whole], wrong_every)


def test_scores_and_states_are_those_of_one_token_at_a_time(model: ServableModel) -> None:
    """Attention, convolution, delta rule and products: rows of one sequence beside strangers'."""
    shape, generator = model.shape.memory, torch.Generator().manual_seed(3)
    token_ids = torch.randint(0, 1000, (3, 40), generator=generator)
    places = [Place([5, 1, 7], 2), Place([0, 2, 3], 0), Place([4, 8, 6], 1)]

    def begun() -> Pools:
        pools = Pools(
            shape, model.dtype, CPU,
            num_pages=9, page_tokens=16, num_slots=3, operations=model.operations,
        )  # fmt: skip
        for place, ids in zip(places, token_ids, strict=True):
            pools.clear_state(place.slot)
            place.num_tokens = 0
            positions = torch.arange(30).expand(3, 1, -1)
            model(model.embed(ids[None, :30]), positions, PooledMemory(pools, [place], 30))
            place.num_tokens = 30
        return pools

    with torch.inference_mode():
        one = begun()
        singles: list[list[torch.Tensor]] = []
        for place, ids, count in zip(places, token_ids, (1, 4, 6), strict=True):
            singles.append([])
            for _ in range(count):
                at = place.num_tokens
                memory = PooledMemory(one, [place], 1)
                positions = torch.tensor([[at]]).expand(3, -1, -1)
                hidden = model(model.embed(ids[None, at : at + 1]), positions, memory)
                singles[-1].append(model.logits(hidden[:, 0])[0])
                place.num_tokens += 1
        many = begun()
        memory = DraftedMemory(many, places[:1], [(places[1], 4), (places[2], 8)])
        rows = [(0, 30), *((1, 30 + i) for i in range(4)), *((2, 30 + i) for i in range(8))]
        fed = torch.stack([token_ids[s, at] for s, at in rows])[:, None]
        positions = torch.tensor([[at] for _, at in rows]).expand(3, -1, -1)
        logits = model.logits(model(model.embed(fed), positions, memory)[:, 0])
        memory.commit([4, 6])

    assert torch.equal(logits[:11], torch.stack([row for rows in singles for row in rows]))
    for layer, state in many.states.items():
        assert torch.equal(state.conv, one.states[layer].conv)
        assert torch.equal(state.recurrent, one.states[layer].recurrent)


def test_what_is_dropped_leaves_no_trace_in_a_state(model: ServableModel) -> None:
    pools = Pools(
        model.shape.memory, model.dtype, CPU,
        num_pages=2, page_tokens=16, num_slots=1, operations=model.operations,
    )  # fmt: skip
    pools.clear_state(0)
    before = pools.copy_states_out(0)
    with torch.inference_mode():
        memory = DraftedMemory(pools, [], [(Place([0, 1], 0), 5)])
        positions = torch.arange(5)[:, None].expand(3, -1, -1)
        model(model.embed(torch.arange(5)[:, None]), positions, memory)
        memory.commit([0])
    after = pools.copy_states_out(0)
    for was, is_now in zip(before.layers, after.layers, strict=True):
        assert torch.equal(was.conv, is_now.conv)
        assert torch.equal(was.recurrent, is_now.recurrent)


def test_drafts_that_are_right_save_steps(model: ServableModel) -> None:
    prompt = prompt_of(list(range(20, 60)), max_tokens=40)
    plain = alone(model, prompt)
    drafter = told(model, prompt)
    asked = served(model, lambda: drafter)
    asked.add("one", prompt)
    # Eight rows a step, but for the prompt's, three that are measured, and the ends of pages.
    num_steps = asked.run()
    assert num_steps <= 9
    assert scored(asked, "one") == scored(plain, "alone")
    counts = asked.service.counts
    assert (counts.num_drafted, counts.num_accepted) == (40 - num_steps, 40 - num_steps)
    assert counts.num_foreseen == 0


def test_steps_that_draw_nothing_tell_nothing_of_what_a_step_takes(
    model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = served(model, None)
    learned: list[int] = []

    def learn(self: Speculator, num_answers: int, num_drafted: int, seconds: float) -> None:
        learned.append(num_answers)

    monkeypatch.setattr(Speculator, "learn", learn)
    prompt = prompt_of(list(range(20, 60)), max_tokens=8)
    asked.add("one", prompt, resume=(5, 6, 7, 8))
    assert asked.run() > 4
    # The last of what an earlier attempt left is the first that a token is drawn behind.
    assert learned == [1] * 4


def test_a_stop_token_in_a_draft_ends_the_answer_before_it(model: ServableModel) -> None:
    prompt = prompt_of(list(range(20, 60)), max_tokens=40)
    whole = alone(model, prompt).answers["alone"]
    drafter = told(model, prompt)
    stop = whole[9]
    asked = served(model, lambda: drafter)
    asked.add("one", msgspec.structs.replace(prompt, stop_token_ids=(stop,)))
    asked.run()
    assert (asked.answers["one"], asked.ends["one"]) == (whole[: whole.index(stop)], "stop")


def test_an_answer_ends_at_its_limit_inside_a_draft(model: ServableModel) -> None:
    prompt = prompt_of(list(range(20, 60)), max_tokens=40)
    whole = alone(model, prompt).answers["alone"]
    drafter = told(model, prompt)
    asked = served(model, lambda: drafter)
    asked.add("one", msgspec.structs.replace(prompt, max_tokens=7))
    asked.run()
    assert (asked.answers["one"], asked.ends["one"]) == (whole[:7], "length")


def test_a_cancelled_answer_leaves_drafts_behind_and_others_unharmed(
    model: ServableModel,
) -> None:
    prompts = {str(n): prompt_of(list(range(20 + n, 60)), max_tokens=40) for n in range(2)}
    wholes = {n: alone(model, p).answers["alone"] for n, p in prompts.items()}
    known = [[*p.token_ids, *wholes[n]] for n, p in prompts.items()]
    asked = served(model, lambda: Told(known, 5))
    for n, prompt in prompts.items():
        asked.add(n, prompt)
    for _ in range(4):
        asked.step()
    asked.cancel("0")
    asked.run()
    got = asked.answers["0"]
    assert asked.ends["0"] == "cancelled" and got == wholes["0"][: len(got)]
    assert asked.answers["1"] == wholes["1"]


def test_an_answer_can_be_gone_on_with_from_any_token_of_a_draft(model: ServableModel) -> None:
    prompt = prompt_of(list(range(20, 60)), sampling=Sampling(seed=5, temperature=1.0))
    whole = alone(model, prompt).answers["alone"]
    drafter = told(model, prompt, wrong_every=4)
    for done in range(1, 16, 3):
        asked = served(model, lambda: Told(drafter.wholes, 4))
        asked.add("rest", prompt, resume=tuple(whole[:done]))
        asked.run()
        assert asked.answers["rest"] == whole[done:]


_requests = st.lists(
    st.tuples(
        st.integers(0, 60),  # tokens shared with the others
        st.lists(st.integers(0, 30), min_size=1, max_size=50),  # and its own
        st.integers(1, 30),  # tokens wanted
        st.fixed_dictionaries(
            {
                "temperature": st.sampled_from([0.0, 0.4, 1.3]),
                "top_p": st.sampled_from([1.0, 0.8]),
                "repetition_penalty": st.sampled_from([1.0, 1.0, 1.3]),
                "presence_penalty": st.sampled_from([0.0, 0.0, 0.7]),
            }
        ),
        st.one_of(st.none(), st.integers(0, 3)),  # log probabilities
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=6, deadline=None)
@given(
    requests=_requests,
    shared=st.lists(st.integers(0, 12), min_size=60, max_size=60),
    drafting=st.one_of(st.sampled_from(["looked up", "nonsense"]), st.none(), st.integers(2, 9)),
    asks_head=st.booleans(),
    num_pages=st.integers(9, 40),
    num_slots=st.integers(1, 6),
    store_bytes=st.sampled_from([0, 100_000, 1 << 24]),
    seed=st.integers(0, 1 << 30),
)
def test_no_draft_memory_or_memories_change_an_answer(
    model: ServableModel,
    requests: list[tuple[int, list[int], int, dict[str, float], int | None]],
    shared: list[int],
    drafting: str | int | None,
    asks_head: bool,
    num_pages: int,
    num_slots: int,
    store_bytes: int,
    seed: int,
) -> None:
    prompts = {
        str(n): prompt_of(
            shared[:alike] + own,
            max_tokens=wanted,
            sampling=Sampling(seed + n, **asks),  # type: ignore[arg-type]
            top_logprobs=logprobs,
        )
        for n, (alike, own, wanted, asks, logprobs) in enumerate(requests)
    }
    plain = {name: alone(model, prompt) for name, prompt in prompts.items()}
    known = [[*p.token_ids, *plain[name].answers["alone"]] for name, p in prompts.items()]

    def make_drafter() -> Drafter:
        if isinstance(drafting, int):
            return Told(known, drafting)
        return PromptLookup() if drafting == "looked up" else Nonsense()

    capacity = replace(ROOMY, num_pages=num_pages, num_slots=num_slots)
    asked = served(
        model, make_drafter if drafting else None, capacity, store_bytes, asks_head=asks_head
    )
    for again in ("", " again"):
        for name, prompt in prompts.items():
            asked.add(name + again, prompt)
        asked.run()
        for name in prompts:
            assert scored(asked, name + again) == scored(plain[name], "alone")
            assert asked.ends[name + again] == plain[name].ends["alone"]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_draft_head_is_right_now_and_then_and_changes_no_answer(
    foreseeable: ServableModel, temperature: float
) -> None:
    """Several answers at once, some of which give way, and the same prompts once more."""
    prompts = {
        str(n): prompt_of(
            [*range(20, 60), n], max_tokens=40, sampling=Sampling(n, temperature=temperature)
        )
        for n in range(3)
    }
    plain = {n: scored(alone(foreseeable, prompt), "alone") for n, prompt in prompts.items()}
    asked = served(foreseeable, None, replace(ROOMY, num_pages=16), asks_head=True)
    for again in ("", " again"):
        before = asked.service.counts.num_drafted, asked.service.counts.num_accepted
        for n, prompt in prompts.items():
            asked.add(n + again, prompt)
        asked.run()
        assert {n: scored(asked, n + again) for n in prompts} == plain
        counts = asked.service.counts
        drafted, accepted = counts.num_drafted - before[0], counts.num_accepted - before[1]
        assert 0.1 * drafted < accepted < 0.9 * drafted
        foreseen = counts.num_foreseen, counts.num_foreseen_accepted
        assert foreseen == (counts.num_drafted, counts.num_accepted)
    assert asked.service.counts.num_preemptions


def test_fast_mode_asks_the_head_as_well(tmp_path: Path) -> None:
    folder = made_foreseeable(_GOLDEN / "qwen3_5", 0.3, tmp_path)
    model = load_model(folder, torch.bfloat16, CPU, exact=False, drafts=True).model
    asked = served(model, None, asks_head=True, is_exact=False)
    for turn in range(1, 4):
        name = str(turn)
        asked.add(name, prompt_of([t for n in range(turn) for t in (TURN, *range(20 + n, 50))]))
        asked.run()
        assert len(asked.answers[name]) == 16
    assert asked.service.counts.num_accepted > 0


@pytest.mark.parametrize("seed", range(3))
def test_weights_drawn_at_random_give_the_same_answers_too(
    tmp_path: Path, name: str, seed: int
) -> None:
    model = load_model(drawn_anew(_GOLDEN / name, seed, tmp_path), torch.float32, CPU).model
    prompts = {
        str(n): prompt_of(
            [*range(20, 60), n], max_tokens=60, sampling=Sampling(seed + n, temperature=n / 2)
        )
        for n in range(3)
    }
    plain = {n: scored(alone(model, prompt), "alone") for n, prompt in prompts.items()}
    known = [[*p.token_ids, *(t for t, _ in plain[n])] for n, p in prompts.items()]
    asked = served(model, lambda: Told(known, 6), replace(ROOMY, num_pages=17))
    for n, prompt in prompts.items():
        asked.add(n, prompt)
    asked.run()
    assert {n: scored(asked, n) for n in prompts} == plain
    assert asked.service.counts.num_preemptions and asked.service.counts.num_accepted


@pytest.mark.parametrize(("wish", "is_ahead"), [("auto", True), ("off", False)])
def test_who_loads_a_model_says_whether_its_answers_are_computed_ahead(
    name: str, wish: SpeculationWish, is_ahead: bool
) -> None:
    store: HostStore = PrefixStore(1 << 20)
    share = Share(1 << 29)
    loaded = load_service(_GOLDEN / name, CPU, store, share, Wishes(speculation=wish))
    asked = Asked(loaded.service)
    # Models as small as this one soon go round in circles.
    asked.add("one", prompt_of([*range(20, 40)] * 3, max_tokens=300))
    asked.run()
    assert (loaded.service.counts.num_drafted > 0) == is_ahead
