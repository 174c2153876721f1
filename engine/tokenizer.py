"""Text to token ids and back.

The rendered chat template is one string in which the template's own control tokens (those flagged
special, such as <|im_end|>) are spelled out. What a client wrote must never become one of them,
so client text goes through `escape` before it is rendered: inside every spelling of a control
token, and after every beginning of one that ends a string (the rest might follow in the next
string), an escape character is put that no template touches. `encode` cuts the rendered text at the
control tokens that are really there, takes the escapes out of the pieces between them, and encodes
these pieces as plain text. Marks that models write as ordinary text (<think>, <tool_call>; not
flagged special) are left as they are: templates look for them in earlier answers.

Pieces between control tokens know nothing of each other, so those of a conversation's earlier
turns need not be encoded again with every turn: their tokens are remembered.

Nothing here knows what a chat is, or adds a token that the text does not spell; but for
`encode_raw` and `encode_framed`, which add what the tokenizer's own file says.
"""

from __future__ import annotations

import codecs
import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers.decoders import ByteLevel

from .errors import InvalidRequest, ModelInvalid
from .pieces import PieceMemo

# A private-use character of the last plane: it is not whitespace, has no case, and survives
# Unicode normalisation and JSON. A second character says what it stands for.
_ESCAPE = "\U0010fffd"
_NOTHING = _ESCAPE + "-"
_ITSELF = _ESCAPE + "+"
# A mark that no escaped text holds, for whoever has to find a place again after rendering.
CUT = _ESCAPE + "."
# Of every tokenizer: sixteen million tokens of earlier turns, of a hundred long conversations.
_MEMO_BYTES = 64 * 1024 * 1024

Escape = Callable[[str], str]


class Tokenizer:
    """The tokenizer of one model folder; may be used from several threads at once."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read a tokenizer.json.

        Raises ModelInvalid where there is none, or one whose decoder is not byte-level.
        """
        self._path = path
        self._encoder = _load(path)
        _require_byte_level(path, self._encoder)
        # The same without recognising control tokens; made when first needed, it is large.
        self._plain_encoder: tokenizers.Tokenizer | None = None
        self._plain_encoder_lock = threading.Lock()
        added = self._encoder.get_added_tokens_decoder()
        self._special_ids = {t.content: i for i, t in added.items() if t.special}
        self._special_id_set = frozenset(self._special_ids.values())
        self._special_pattern = _any_of(self._special_ids)
        self._special_beginnings = frozenset(
            s[:size] for s in self._special_ids for size in range(1, len(s))
        )
        self._longest_special = max((len(s) for s in self._special_ids), default=0)
        self._can_be_cut = all(
            _stands_alone(token)
            if token.special
            else not self._shares_characters_with_special(token.content)
            for token in added.values()
        )
        self._pieces = PieceMemo(_MEMO_BYTES, clock)

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id; a model's embedding may be padded beyond it."""
        added = self._encoder.get_added_tokens_decoder()
        return max(self._encoder.get_vocab_size(with_added_tokens=True), *(i + 1 for i in added))

    @functools.cached_property
    def beginning_ids(self) -> tuple[int, ...]:
        """What the file puts before every text. What it puts behind one ends it, and a text that is
        to be gone on with has not ended.
        """
        plain = _encode(self._encoder, "a")
        framed = _encode(self._encoder, "a", add_special_tokens=True)
        starts = (at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
        return tuple(framed[: next(starts, 0)])

    def forget(self) -> None:
        """Let go of the texts that nobody has sent for long."""
        self._pieces.forget()

    def special_id(self, spelling: str) -> int | None:
        """The id of a control token, or None where this model has none of that name."""
        return self._special_ids.get(spelling)

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special_id_set

    def escape(self, text: str) -> str:
        """Client text made harmless for rendering: `encode` gives plain tokens for it."""
        text = text.replace(_ESCAPE, _ITSELF)
        if self._special_pattern is None:
            return text
        text = self._special_pattern.sub(lambda m: m[0][0] + _NOTHING + m[0][1:], text)
        return text + _NOTHING if self._ends_in_beginning(text) else text

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text, control tokens where they are spelled unescaped."""
        if not self._can_be_cut and _ESCAPE not in text:
            return _encode(self._encoder, text)
        token_ids: list[int] = []
        position = 0
        for match in self._special_pattern.finditer(text) if self._special_pattern else ():
            token_ids += self._encode_piece(text[position : match.start()])
            token_ids.append(self._special_ids[match[0]])
            position = match.end()
        token_ids += self._encode_piece(text[position:])
        return token_ids

    def encode_raw(self, text: str) -> list[int]:
        """Token ids of a whole prompt that a client wrote, control tokens where it spells them.

        It begins as the file says, once: with its own spelling of that, where it has one.
        """
        token_ids = self.encode(text.replace(_ESCAPE, _ITSELF))
        return token_ids if self._begins(token_ids) else [*self.beginning_ids, *token_ids]

    def num_unwritten(self, token_ids: Sequence[int], text: str) -> int:
        """How many of a raw prompt's tokens are the file's beginning, and not in its text.

        Whether it is written there is asked of the text alone, which may be too long to encode
        again: a mark behind blanks that it takes to itself counts as not written.
        """
        spelling = self.decode(self.beginning_ids, skip_special=False)
        is_written = text.startswith(spelling) or not self._begins(token_ids)
        return 0 if is_written else len(self.beginning_ids)

    def encode_framed(self, text: str) -> list[int]:
        """Token ids of client text, unescaped, between the marks that the file puts around it."""
        return _encode(self._plain(), text, add_special_tokens=True)

    def decode(self, token_ids: Sequence[int], *, skip_special: bool = True) -> str:
        return self._encoder.decode(list(token_ids), skip_special_tokens=skip_special)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for; none for an id that is not a token."""
        token = self._encoder.id_to_token(token_id)
        if token is None:
            return b""
        try:
            return bytes(_BYTE_OF[char] for char in token)
        except KeyError:  # an added token, spelled in characters and not in byte signs
            return token.encode()

    def _begins(self, token_ids: Sequence[int]) -> bool:
        return tuple(token_ids[: len(self.beginning_ids)]) == self.beginning_ids

    def _encode_piece(self, piece: str) -> Sequence[int]:
        """Token ids of text in which no control token is spelled unescaped."""
        if not piece:
            return ()
        token_ids = self._pieces.get(piece)
        if token_ids is None:
            is_plain = _ESCAPE not in piece and self._can_be_cut
            token_ids = _encode(self._encoder, piece) if is_plain else self._encode_plain(piece)
            self._pieces.keep(piece, token_ids)
        return token_ids

    def _encode_plain(self, text: str) -> list[int]:
        return _encode(self._plain(), text.replace(_NOTHING, "").replace(_ITSELF, _ESCAPE))

    def _plain(self) -> tokenizers.Tokenizer:
        with self._plain_encoder_lock:
            if self._plain_encoder is None:
                self._plain_encoder = _load(self._path)
                self._plain_encoder.encode_special_tokens = True
            return self._plain_encoder

    def _shares_characters_with_special(self, spelling: str) -> bool:
        """Whether some text holds it and a control token's spelling with characters in common."""
        sizes = range(1, len(spelling))
        return (
            any(spelling in special for special in self._special_ids)
            or any(special in spelling for special in self._special_ids)
            or any(spelling[-size:] in self._special_beginnings for size in sizes)
            or any(s.endswith(spelling[:size]) for s in self._special_ids for size in sizes)
        )

    def _ends_in_beginning(self, text: str) -> bool:
        sizes = range(1, min(self._longest_special, len(text) + 1))
        return any(text[-size:] in self._special_beginnings for size in sizes)


class Detokenizer:
    """Turns a stream of token ids into text, piece by piece.

    A piece never holds part of a character: bytes wait until their character is whole, or until it
    is certain that they never make one (then they read U+FFFD, as in `Tokenizer.decode`). All
    pieces and the flush together are what `Tokenizer.decode` says of all tokens. Control tokens
    are skipped, but for those whose spelling is to be `shown`.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, skip_special: bool = True, shown: Iterable[str] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._shown_ids = {tokenizer.special_id(spelling) for spelling in shown}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def skips(self, token_id: int) -> bool:
        """Whether it adds nothing to the text."""
        is_shown = not self._skip_special or token_id in self._shown_ids
        return not is_shown and self._tokenizer.is_special(token_id)

    def push(self, token_id: int) -> str:
        """The text that is complete now that this token has come."""
        if self.skips(token_id):
            return ""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """What is left at the end: the sign for a character that was never finished, or nothing."""
        return self._decoder.decode(b"", final=True)


def _load(path: Path) -> tokenizers.Tokenizer:
    try:
        encoder = tokenizers.Tokenizer.from_file(str(path))
    except BaseException as error:  # the library raises bare Exception for whatever is wrong
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        hint = "download the model's tokenizer.json again" if path.exists() else "add the file"
        raise ModelInvalid(f"{path} cannot be read as a tokenizer", hint) from error
    # Some files carry the limits of a training run: a prompt must never be cut or filled up.
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def _require_byte_level(path: Path, encoder: tokenizers.Tokenizer) -> None:
    decoder: object = encoder.decoder
    if not isinstance(decoder, ByteLevel):
        raise ModelInvalid(
            f"{path}: decoder {type(decoder).__name__} is not supported",
            "only byte-level tokenizers (decoder ByteLevel) can be served",
        )


def _encode(
    encoder: tokenizers.Tokenizer, text: str, *, add_special_tokens: bool = False
) -> list[int]:
    # As a batch of one: only batches let other threads run meanwhile, and a long prompt takes
    # seconds, in which a process must go on saying that it is alive.
    try:
        return encoder.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids
    except BaseException as error:
        if not _is_panic(error):
            raise
        raise InvalidRequest(
            "the model's tokenizer breaks down over this text", "ask another model"
        ) from error


def _is_panic(error: BaseException) -> bool:
    """Whether a library in Rust came to what its makers held impossible: that is no Exception, and
    of a class that cannot be imported.
    """
    return type(error).__name__ == "PanicException"


def _stands_alone(token: tokenizers.AddedToken) -> bool:
    """Whether a control token is found by its spelling alone, and takes nothing beside it."""
    return not (token.lstrip or token.rstrip or token.single_word or token.normalized)


def _any_of(spellings: dict[str, int]) -> re.Pattern[str] | None:
    """Longest first, as the tokenizer itself matches them."""
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def byte_signs() -> dict[str, int]:
    """The character that stands for each byte in the vocabulary of a byte-level tokenizer.

    Printable Latin-1 characters stand for themselves, the other bytes for the characters from
    U+0100 on, in order (the table that GPT-2 introduced).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    signs = {chr(byte): byte for byte in printable}
    return signs | {chr(0x100 + index): byte for index, byte in enumerate(others)}


_BYTE_OF = byte_signs()
