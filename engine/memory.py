"""The bytes of one device: what a model costs, and how what is left is shared out.

Pure arithmetic over numbers that are known before anything is allocated. One budget holds it all:
weights, the largest step's work, pages, states, encoded pictures and what is remembered of
prompts (in host memory, which on a CPU is the same memory). Measures nothing, allocates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .costs import MemoryPart, ModelCosts
from .errors import InsufficientVram, MemoryShortage

PAGE_TOKENS = 64
# Parts of the memory whose use changes while a model serves, and the sum of all parts.
KEYS_AND_VALUES = "keys and values"
RECURRENT_STATES = "recurrent states"
ENCODED_PICTURES = "encoded pictures"
REMEMBERED_PREFIXES = "remembered prefixes"
TOTAL = "total"


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How a device's bytes are shared out. `prefix_is_apart`: beside `total_bytes`, on the host."""

    costs: ModelCosts
    total_bytes: int
    page_tokens: int
    num_pages: int
    num_sequences: int
    encoder_bytes: int
    prefix_bytes: int
    prefix_is_apart: bool

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
    def unused_bytes(self) -> int:
        used = self.costs.fixed_bytes + self.kv_bytes + self.states_bytes + self.encoder_bytes
        return self.total_bytes - used - (0 if self.prefix_is_apart else self.prefix_bytes)

    @property
    def max_sequence_tokens(self) -> int:
        """How long prompt and answer together can become when nothing else runs."""
        # The last token of an answer is never fed back and needs no place.
        return min(self.num_pages * self.page_tokens + 1, self.costs.context_tokens)

    def parts(self) -> tuple[MemoryPart, ...]:
        """Every use of the memory, and the total at the end."""
        tokens = self.num_pages * self.page_tokens
        pages = f"{self.num_pages:,} pages of {self.page_tokens} tokens, {tokens:,} in all"
        apart = "in host memory, beside the total" if self.prefix_is_apart else ""
        return (
            MemoryPart("weights", self.costs.weights_bytes),
            MemoryPart("work of a step", self.costs.workspace_bytes),
            MemoryPart("work of the largest picture", self.costs.vision_peak_bytes),
            MemoryPart(KEYS_AND_VALUES, self.kv_bytes, pages),
            MemoryPart(RECURRENT_STATES, self.states_bytes, f"{self.num_sequences} sequences"),
            MemoryPart(ENCODED_PICTURES, self.encoder_bytes),
            MemoryPart(REMEMBERED_PREFIXES, self.prefix_bytes, apart),
            MemoryPart("unused", self.unused_bytes),
            MemoryPart(TOTAL, self.total_bytes),
        )

    def check_fits(
        self, prompt_tokens: int, new_tokens: int, largest_image_tokens: int = 0
    ) -> None:
        """Raise InsufficientVram for what would not fit even if nothing else ran."""
        image_bytes = largest_image_tokens * self.costs.image_bytes_per_token
        if image_bytes > self.encoder_bytes:
            raise _never_fits(
                f"a picture of {largest_image_tokens} tokens",
                image_bytes,
                self.encoder_bytes,
                "send a smaller picture",
            )
        pages = -(-(prompt_tokens + new_tokens - 1) // self.page_tokens)
        if pages > self.num_pages:
            raise _never_fits(
                f"a prompt of {prompt_tokens} tokens and {new_tokens} more",
                pages * self.page_bytes + self.costs.state_bytes,
                self.kv_bytes + self.costs.state_bytes,
                f"at most {self.max_sequence_tokens} tokens fit; shorten the prompt or the answer",
            )


def plan_memory(
    costs: ModelCosts,
    total_bytes: int,
    max_sequences: int,
    *,
    host_bytes: int | None = None,
    page_tokens: int = PAGE_TOKENS,
) -> MemoryBudget:
    """Share out a device's bytes for one model.

    `host_bytes` is what may be remembered in host memory where that is not the device's own.
    What is fixed comes first, then what the smallest request needs; of the rest a quarter goes
    to states, a sixteenth to pictures, a quarter of what remains is for remembering, and pages
    take the others as far as `max_sequences` could fill them; more than that is left to others.
    Raises InsufficientVram where not even one request would run.
    """
    page_bytes = page_tokens * costs.kv_bytes_per_token
    required_bytes = costs.fixed_bytes + page_bytes + costs.state_bytes + costs.chunk_images_bytes
    if required_bytes > total_bytes:
        raise _never_fits(
            "the model with the smallest request",
            required_bytes,
            total_bytes,
            "give it more memory, or choose a smaller model or dtype",
        )
    spare = total_bytes - required_bytes
    encoder_bytes = costs.chunk_images_bytes + min(
        spare // 16, (max_sequences - 1) * costs.chunk_images_bytes
    )
    spare_states = max_sequences - 1
    if costs.state_bytes:
        spare_states = min(spare_states, spare // 4 // costs.state_bytes)
    left = total_bytes - costs.fixed_bytes - encoder_bytes - (1 + spare_states) * costs.state_bytes
    prefix_bytes = min(left // 4, left - page_bytes) if host_bytes is None else host_bytes
    pages_of_all = max_sequences * -(-costs.context_tokens // page_tokens)
    for_pages = left - (prefix_bytes if host_bytes is None else 0)
    num_pages = min(for_pages // page_bytes, pages_of_all)
    return MemoryBudget(
        costs=costs,
        total_bytes=total_bytes,
        page_tokens=page_tokens,
        num_pages=num_pages,
        num_sequences=1 + spare_states,
        encoder_bytes=encoder_bytes,
        prefix_bytes=prefix_bytes,
        prefix_is_apart=host_bytes is not None,
    )


def attention_bytes_per_token(
    num_layers: int, num_kv_heads: int, head_dim: int, element_bytes: int
) -> int:
    """Keys and values of one token in the layers that keep them."""
    return 2 * num_layers * num_kv_heads * head_dim * element_bytes


def describe(parts: Sequence[MemoryPart]) -> str:
    """A table for people, a line for each part."""
    lines = (f"{p.name:<28}{format_bytes(p.num_bytes):>10}  {p.note}".rstrip() for p in parts)
    return "\n".join(lines)


def format_bytes(num_bytes: int) -> str:
    """A size as people read it: 1.5 GiB."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(num_bytes) >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"


def _never_fits(
    what: str, required_bytes: int, available_bytes: int, hint: str
) -> InsufficientVram:
    return InsufficientVram(
        f"{what} would need {format_bytes(required_bytes)} ({required_bytes} bytes), where"
        f" {format_bytes(available_bytes)} ({available_bytes} bytes) are available",
        hint,
        shortage=MemoryShortage(required_bytes, available_bytes, is_final=True),
    )
