"""The bytes of one device: what a model costs, and how what is left is shared out.

Pure arithmetic over numbers that are known before anything is allocated. A model's budget holds its
weights, the largest step's work, pages, states and encoded pictures; what is remembered of prompts
lies beside it, in host memory (`remembered_bytes`). Measures nothing, allocates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .costs import MemoryPart, ModelCosts
from .errors import InsufficientVram, MemoryShortage

PAGE_TOKENS = 64
# As many as one model works on at once: the others wait in its queue.
MAX_SEQUENCES = 128
# Parts of the memory whose use changes while a model serves, and the sum of all parts.
KEYS_AND_VALUES = "keys and values"
RECURRENT_STATES = "recurrent states"
ENCODED_PICTURES = "encoded pictures"
REMEMBERED_PREFIXES = "remembered prefixes"
TOTAL = "total"


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How a device's bytes are shared out; `prefix_bytes` lie beside `total_bytes`."""

    costs: ModelCosts
    total_bytes: int
    page_tokens: int
    num_pages: int
    num_sequences: int
    encoder_bytes: int
    prefix_bytes: int

    @property
    def page_bytes(self) -> int:
        return self.page_tokens * self.costs.kv_bytes_per_token

    @property
    def kv_bytes(self) -> int:
        return self.num_pages * self.page_bytes

    @property
    def states_bytes(self) -> int:
        return self.num_sequences * self.costs.state_bytes

    @property
    def step_bytes(self) -> int:
        return self.costs.step_bytes + self.num_sequences * self.costs.workspace_bytes_per_sequence

    @property
    def used_bytes(self) -> int:
        """What the model may fill: all but what is unused."""
        costs = self.costs
        fixed_bytes = costs.loaded_bytes + self.step_bytes + costs.vision_peak_bytes
        return fixed_bytes + self.kv_bytes + self.states_bytes + self.encoder_bytes

    @property
    def unused_bytes(self) -> int:
        return self.total_bytes - self.used_bytes

    def parts(self) -> tuple[MemoryPart, ...]:
        """Every use of the memory, and the total at the end."""
        tokens = self.num_pages * self.page_tokens
        pages = f"{self.num_pages:,} pages of {self.page_tokens} tokens, {tokens:,} in all"
        return (
            MemoryPart("weights", self.costs.weights_bytes),
            *_beside_weights(self.costs),
            MemoryPart("work of a step", self.step_bytes),
            MemoryPart("work of the largest picture", self.costs.vision_peak_bytes),
            MemoryPart(KEYS_AND_VALUES, self.kv_bytes, pages),
            MemoryPart(RECURRENT_STATES, self.states_bytes, f"{self.num_sequences} sequences"),
            MemoryPart(ENCODED_PICTURES, self.encoder_bytes),
            MemoryPart(REMEMBERED_PREFIXES, self.prefix_bytes, "in host memory, beside the total"),
            MemoryPart("unused", self.unused_bytes),
            MemoryPart(TOTAL, self.total_bytes),
        )


def plan_memory(
    costs: ModelCosts,
    total_bytes: int,
    max_sequences: int,
    *,
    host_bytes: int,
    page_tokens: int = PAGE_TOKENS,
    are_promised: bool = False,
) -> MemoryBudget:
    """Share out a device's bytes for one model.

    `host_bytes` is what may be remembered in host memory, which is not among these bytes.
    What is fixed comes first, then what the smallest request needs; of the rest a quarter goes to
    more sequences (where they `are_promised`, as much as leaves a page to each), a sixteenth to
    pictures, and pages take what remains as far as `max_sequences` could fill them; more than that
    is left to others.
    Raises InsufficientVram where not even one request would run.
    """
    page_bytes = page_tokens * costs.kv_bytes_per_token
    sequence_bytes = costs.sequence_bytes
    required_bytes = costs.fixed_bytes + page_bytes + sequence_bytes + costs.chunk_images_bytes
    if required_bytes > total_bytes:
        raise InsufficientVram(
            f"the model with the smallest request would need {format_bytes(required_bytes)}"
            f" ({required_bytes} bytes), where {format_bytes(total_bytes)} ({total_bytes} bytes)"
            " are available",
            "give it more memory, or choose a smaller model or dtype",
            shortage=MemoryShortage(required_bytes, total_bytes, is_final=True),
        )
    spare = total_bytes - required_bytes
    if are_promised:
        more_sequences = _at_most(max_sequences - 1, spare, sequence_bytes + page_bytes)
        for_pictures = (spare - more_sequences * sequence_bytes) // 16
    else:
        more_sequences = _at_most(max_sequences - 1, spare // 4, sequence_bytes)
        for_pictures = spare // 16
    more_pictures = min(for_pictures, (max_sequences - 1) * costs.chunk_images_bytes)
    encoder_bytes = costs.chunk_images_bytes + more_pictures
    left = total_bytes - costs.fixed_bytes - encoder_bytes - (1 + more_sequences) * sequence_bytes
    pages_of_all = max_sequences * -(-costs.context_tokens // page_tokens)
    num_pages = _at_most(pages_of_all, left, page_bytes)
    return MemoryBudget(
        costs=costs,
        total_bytes=total_bytes,
        page_tokens=page_tokens,
        num_pages=num_pages,
        num_sequences=1 + more_sequences,
        encoder_bytes=encoder_bytes,
        prefix_bytes=host_bytes,
    )


@dataclass(frozen=True, slots=True)
class Share:
    """What a model is given of its device. `context_tokens` and `num_sequences` None are what the
    model and the engine can do; `learned` are the bytes that earlier loads were larger by than
    estimated, and how many these were.
    """

    num_bytes: int
    context_tokens: int | None = None
    num_sequences: int | None = None
    learned: tuple[int, int] = (0, 0)


def plan_share(costs: ModelCosts, share: Share, host_bytes: int) -> MemoryBudget:
    """A share, shared out. Raises InsufficientVram as `plan_memory` does."""
    learned_bytes, num_learned = share.learned
    given = replace(
        costs,
        context_tokens=min(costs.context_tokens, share.context_tokens or costs.context_tokens),
        learned_bytes=learned_bytes,
        num_learned=num_learned,
    )
    num_sequences = min(MAX_SEQUENCES, share.num_sequences or MAX_SEQUENCES)
    return plan_memory(
        given, share.num_bytes, num_sequences,
        host_bytes=host_bytes, are_promised=share.num_sequences is not None,
    )  # fmt: skip


def check_promised(model_id: str, num_bytes: int, free_bytes: int) -> None:
    """Raise InsufficientVram where others have what was promised to a model."""
    if num_bytes > free_bytes:
        raise InsufficientVram(
            f"{format_bytes(num_bytes)} were promised to {model_id}, and"
            f" {format_bytes(free_bytes)} of the device are free",
            "unload another model, or close what else uses the device",
            shortage=MemoryShortage(num_bytes, free_bytes, is_final=False),
        )


def needed_bytes(costs: ModelCosts, num_tokens: int, num_sequences: int) -> int:
    """What lets `plan_memory` promise so many sequences, and pages for so many tokens of theirs,
    a page each at least.
    """
    page_bytes = PAGE_TOKENS * costs.kv_bytes_per_token
    num_pages = max(-(-num_tokens // PAGE_TOKENS), num_sequences)
    # Of what the first request does not need, a sixteenth goes to pictures.
    more_pages_bytes = (num_pages - 1) * page_bytes
    more_pictures_bytes = min(
        -(-more_pages_bytes // 15), (num_sequences - 1) * costs.chunk_images_bytes
    )
    return (
        costs.fixed_bytes
        + num_sequences * costs.sequence_bytes
        + num_pages * page_bytes
        + costs.chunk_images_bytes
        + more_pictures_bytes
    )


def remembered_bytes(device_bytes: int) -> int:
    """What of a machine's memory that models may have is for remembering what they have read: for
    all of them together, beside what each has for itself.
    """
    return device_bytes // 4


def describe(parts: Sequence[MemoryPart]) -> str:
    """A table for people, a line for each part."""
    lines = (f"{p.name:<28}{format_bytes(p.num_bytes):>10}  {p.note}".rstrip() for p in parts)
    return "\n".join(lines)


def format_bytes(num_bytes: int) -> str:
    """A size as people read it: 1.5 GiB."""
    unit, size = byte_unit(num_bytes)
    return f"{num_bytes / size:,.1f} {unit}" if size > 1 else f"{num_bytes} {unit}"


def byte_unit(num_bytes: float) -> tuple[str, int]:
    """The unit that such a size is told in, and how many bytes that is."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(num_bytes) >= size:
            return unit, size
    return "B", 1


def _beside_weights(costs: ModelCosts) -> Iterator[MemoryPart]:
    if costs.tokenizer_bytes:
        yield MemoryPart("tokenizer", costs.tokenizer_bytes)
    if costs.num_learned or costs.learned_bytes:
        loads = "1 load" if costs.num_learned == 1 else f"{costs.num_learned} loads"
        percent = 100 * costs.learned_bytes / max(1, costs.loaded_bytes - costs.learned_bytes)
        yield MemoryPart("learned", costs.learned_bytes, f"from {loads}: {percent:+.1f} %")


def _at_most(most: int, num_bytes: int, each_bytes: int) -> int:
    return min(most, num_bytes // each_bytes) if each_bytes else most
