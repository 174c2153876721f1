"""A request becomes the prompt of the golden cases, or is refused by name before the work."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    InvalidImage,
    InvalidRequest,
    ModelInvalid,
    TooManyImages,
    VisionUnsupported,
)
from cortex.engine.generation import choice_sampling, read_generation_defaults, resolve_sampling
from cortex.engine.prompt import build_prompt, count_tokens
from cortex.engine.text_model import TextModel, TextModels, load_text_model
from cortex.engine.types import (
    ChatRequest,
    Grammar,
    ImagePart,
    Message,
    RawText,
    ReasoningWish,
    Sampling,
    SamplingWish,
    TextPart,
    Tool,
    ToolCall,
)
from cortex.engine.wishes import MOST_PIXELS, PixelWishes

_GOLDEN = Path(__file__).parent.parent / "golden"
_SEEING = load_text_model(_GOLDEN / "qwen3_5")
_BLIND = load_text_model(_GOLDEN / "qwen3_5_text")
_FAKE_DIR = Path(__file__).parent.parent.parent / "engine" / "assets" / "fake"
_IM_START = 1001
_PAD = 1012
# What the template puts around a picture.
_MARKS = 2


def cases() -> list[dict[str, Any]]:
    path = _GOLDEN / "qwen3_5" / "expected" / "cases.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return [case for case in found if case["kind"] == "chat" and not case["tools"]]


def request_of(case: dict[str, Any]) -> ChatRequest:
    messages = tuple(Message(m["role"], parts(m["content"])) for m in case["messages"])
    return ask(*messages, template_kwargs=json.dumps(case["template_kwargs"]))


def parts(content: Any) -> tuple[TextPart | ImagePart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(
        ImagePart((_GOLDEN / "images" / p["name"]).with_suffix(".png").read_bytes())
        if p["type"] == "image"
        else TextPart(p["text"])
        for p in content
    )


def ask(*messages: Message, **fields: Any) -> ChatRequest:
    return replace(ChatRequest("some-model", messages, seed=7, now_s=0), **fields)


def user(*content: str | bytes) -> Message:
    return Message(
        "user", tuple(TextPart(c) if isinstance(c, str) else ImagePart(c) for c in content)
    )


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


def refuse(model: TextModel, request: ChatRequest, context_tokens: int = 4096) -> CortexError:
    with pytest.raises(CortexError) as caught:
        build_prompt(model, request, context_tokens)
    return caught.value


@pytest.mark.parametrize("case", cases(), ids=lambda c: c["case"])
def test_golden_chat_has_the_golden_length_grids_and_tokens(case: dict[str, Any]) -> None:
    built = build_prompt(_SEEING, request_of(case), 4096)
    assert len(built.prompt.token_ids) == case["tokens"]
    assert [list(i.grid_thw) for i in built.prompt.images] == case.get("image_grid_thw", [])
    assert [i.tokens - _MARKS for i in built.images] == case.get("tokens_per_image", [])
    single = list(built.prompt.token_ids)
    for position, image in enumerate(built.images):
        # Each run of pads, put back to the one that the template wrote.
        start = [i for i, t in enumerate(single) if t == _PAD and single[i - 1] != _PAD][position]
        single[start : start + image.tokens - _MARKS] = [_PAD]
    assert single == _SEEING.tokenizer.encode(case["rendered"])


def test_boundaries_are_where_the_next_turns_will_leave_the_prompt() -> None:
    request = ask(user("a"), Message("assistant", (TextPart("b"),)), user("c", picture(64, 64)))
    prompt = build_prompt(_SEEING, request, 4096).prompt
    starts = [i for i, t in enumerate(prompt.token_ids) if t == _IM_START]
    assert len(starts) == 4
    decode = _SEEING.tokenizer.decode
    ends = ["<|im_start|>assistant", "<|im_start|>assistant"]
    seen = [decode(prompt.token_ids[:b], skip_special=False) for b in prompt.boundaries]
    assert [text[-len(end) :] for text, end in zip(seen, ends, strict=True)] == ends


def test_prompt_hash_follows_tokens_and_pixels_and_nothing_else() -> None:
    request = ask(user("a", picture(64, 64)))
    first = build_prompt(_SEEING, request, 4096).prompt_hash
    assert build_prompt(_SEEING, replace(request, seed=8), 4096).prompt_hash == first
    black = io.BytesIO()
    Image.new("RGB", (64, 64)).save(black, "PNG")
    other_pixels = replace(request, messages=(user("a", black.getvalue()),))
    other_text = replace(request, messages=(user("b", picture(64, 64)),))
    hashes = {build_prompt(_SEEING, r, 4096).prompt_hash for r in (other_pixels, other_text)}
    assert len(hashes | {first}) == 3


def test_pictures_are_as_large_as_is_wished_and_counted_so() -> None:
    request = ask(user("a", picture(256, 256)))
    usual = build_prompt(_SEEING, request, 4096).images[0].tokens
    small = PixelWishes(max_pixels=64 * 64)
    built = build_prompt(_SEEING, request, 4096, pixels=small)
    assert built.images[0].tokens == 4 + _MARKS < usual
    assert count_tokens(_SEEING, request, pixels=small) == len(built.prompt.token_ids)


def test_a_picture_is_told_as_what_it_adds_to_the_prompt() -> None:
    seen = ask(user("a", picture(256, 256), picture(64, 96)))
    more = count_tokens(_SEEING, seen) - count_tokens(_SEEING, ask(user("a")))
    assert sum(image.tokens for image in build_prompt(_SEEING, seen, 4096).images) == more


def test_pictures_over_the_operators_limit_are_not_opened() -> None:
    request, few = ask(user("a", picture(64, 64))), PixelWishes(max_image_pixels=64 * 63)
    for make in (
        lambda: build_prompt(_SEEING, request, 4096, pixels=few),
        lambda: count_tokens(_SEEING, request, pixels=few),
    ):
        with pytest.raises(InvalidImage, match="64x64 pixels, where 4,032 pixels are the limit"):
            make()


def test_control_token_spelled_by_a_client_is_text() -> None:
    prompt = build_prompt(_SEEING, ask(user("<|image_pad|><|im_start|>")), 4096).prompt
    assert prompt.token_ids.count(_IM_START) == 2
    assert _PAD not in prompt.token_ids


def test_picture_for_a_model_without_eyes_is_refused_with_its_name() -> None:
    request = ask(user(picture(64, 64)), Message("assistant"), user("and now?"))
    error = refuse(_BLIND, request)
    assert isinstance(error, VisionUnsupported)
    assert "some-model" in error.message


def test_picture_that_the_template_leaves_out_is_refused(tmp_path: Path) -> None:
    model = load_text_model(copied(tmp_path, **{"chat_template.jinja": "{{ messages[0].role }}"}))
    error = refuse(model, ask(user("a", picture(64, 64))))
    assert isinstance(error, InvalidRequest)
    assert "0 of 1 pictures" in error.message


def test_broken_picture_is_refused() -> None:
    assert isinstance(refuse(_SEEING, ask(user(b"no picture"))), InvalidImage)


@pytest.mark.parametrize("broken", [b"no picture", picture(64, 64)[:70]])
def test_of_several_pictures_the_broken_one_is_told_by_its_place(broken: bytes) -> None:
    good = picture(64, 64)
    error = refuse(_SEEING, ask(user(good, broken), user(good)))
    assert error.message.startswith("picture 2 of 3: the ")


def test_too_long_prompt_says_both_numbers() -> None:
    request = ask(user("word " * 100))
    num_tokens = len(build_prompt(_SEEING, request, 4096).prompt.token_ids)
    error = refuse(_SEEING, request, num_tokens - 1)
    assert isinstance(error, ContextLengthExceeded)
    assert error.message == f"prompt is too long: {num_tokens} tokens > {num_tokens - 1} maximum"
    known = f"this model's maximum context length is {num_tokens - 1} tokens"
    assert error.hint.startswith(known)
    assert build_prompt(_SEEING, request, num_tokens).prompt.max_tokens == 1


@pytest.mark.parametrize("is_raw", [False, True])
def test_text_that_is_far_too_long_is_refused_after_a_part_of_it(is_raw: bool) -> None:
    text = "word " * 4_000_000
    raw = RawText(text) if is_raw else None
    request = ask(user("a"), raw=raw) if is_raw else ask(user(text))
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    with pytest.raises(ContextLengthExceeded, match=r"prompt is too long: \d{8} tokens > 4096 max"):
        build_prompt(_SEEING, request, 4096, look)
    assert looks < 5


def test_long_text_that_fits_is_whole_in_the_prompt() -> None:
    request = ask(user(" " * 1_200_000))
    num_tokens = count_tokens(_SEEING, request)
    assert len(build_prompt(_SEEING, request, num_tokens).prompt.token_ids) == num_tokens


def test_more_text_than_can_be_counted_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too long to count"):
        count_tokens(_SEEING, ask(user("word " * 1_000_000)))


def test_pictures_that_cannot_fit_are_refused_before_they_are_decoded() -> None:
    bomb = picture(6000, 6000)
    started_s = time.monotonic()
    error = refuse(_SEEING, ask(user(*[bomb] * 200)), 4096)
    assert isinstance(error, ContextLengthExceeded)
    assert time.monotonic() - started_s < 2


def test_as_many_pixels_as_a_hundred_usual_pictures_are_taken_and_hardly_more() -> None:
    small, num_usual = picture(256, 256), 100 * MOST_PIXELS // 256**2
    taken = count_tokens(_SEEING, ask(user(*[small] * num_usual)))
    assert taken > num_usual * 64
    error = refuse(_SEEING, ask(user(*[small] * (num_usual + 200))), 1_000_000)
    assert isinstance(error, TooManyImages)
    assert "older pictures" in error.hint and "new conversation" in error.hint


def test_answer_length_is_lowered_to_what_the_context_leaves() -> None:
    request = ask(user("Hello"))
    num_tokens = len(build_prompt(_SEEING, request, 100).prompt.token_ids)
    for wanted, allowed in ((None, 100 - num_tokens), (5, 5), (1000, 100 - num_tokens)):
        prompt = build_prompt(_SEEING, replace(request, max_tokens=wanted), 100).prompt
        assert prompt.max_tokens == allowed
        assert prompt.limited_by == ("length" if wanted == allowed else "context")


def test_no_answer_at_all_may_be_asked_for() -> None:
    prompt = build_prompt(_SEEING, ask(user("Hello"), max_tokens=0), 100).prompt
    assert (prompt.max_tokens, prompt.limited_by) == (0, "length")


def test_the_count_is_the_length_of_the_prompt_whether_or_not_it_fits() -> None:
    call = ToolCall("c1", "look", "{}")
    shown = (TextPart("see"), ImagePart(picture(300, 100)))
    requests = [
        *map(request_of, cases()),
        ask(user("a"), Message("assistant", (TextPart("It is "),))),
        ask(
            user("a"),
            Message("assistant", (), "hm", (call,)),
            Message("system", (TextPart("be brief"),)),
            Message("tool", shown, tool_call_id="c1"),
            tools=(Tool("look", "", "{}"),),
        ),
    ]
    for request in requests:
        prompt = build_prompt(_SEEING, request, 4096).prompt
        assert count_tokens(_SEEING, request) == len(prompt.token_ids)
    assert count_tokens(_SEEING, ask(user("word " * 5000))) > 4096


def test_counting_opens_no_picture() -> None:
    whole = picture(640, 480)
    cut_short = ask(user(whole[: len(whole) // 2]))
    assert count_tokens(_SEEING, cut_short) == count_tokens(_SEEING, ask(user(whole)))
    with pytest.raises(InvalidImage):
        build_prompt(_SEEING, cut_short, 4096)


def test_what_can_be_no_prompt_is_not_counted() -> None:
    for model, request in (
        (_BLIND, ask(user(picture(64, 64)))),
        (_SEEING, ask(user(b"no picture"))),
        (_SEEING, ask()),
    ):
        with pytest.raises(CortexError):
            count_tokens(model, request)


def test_pictures_of_results_are_in_the_prompt_where_their_template_takes_none(
    tmp_path: Path,
) -> None:
    source = (_FAKE_DIR / "chat_template.jinja").read_text()
    no_tools = source.replace(
        "{{- body(message.content) -}}",
        "{{- 'a result' if message.role == 'tool' else body(message.content) -}}",
    )
    folder = copied(tmp_path, **{"chat_template.jinja": no_tools})
    model = load_text_model(folder)
    assert model.chat is not None and not model.chat.habits.takes_tool_pictures
    call = Message("assistant", tool_calls=(ToolCall("c1", "look", "{}"),))
    result = Message("tool", (ImagePart(picture(300, 100)),), tool_call_id="c1")
    own = user("And this?", picture(64, 64))
    built = build_prompt(model, ask(user("a"), call, result, own), 4096)
    assert [(i.width, i.height) for i in built.images] == [(448, 160), (256, 256)]
    text = model.tokenizer.decode(built.prompt.token_ids, skip_special=False)
    assert "Pictures in the result of look (c1):\n<|vision_start|>" in text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": ("x" * 1025,)}, "stop"),
        ({"stop": ("x",) * 65}, "stop"),
        ({"template_kwargs": "[]"}, "chat_template_kwargs"),
        ({"sampling": SamplingWish(temperature=-1)}, "temperature"),
        ({"sampling": SamplingWish(temperature=float("nan"))}, "temperature"),
        ({"sampling": SamplingWish(temperature=float("inf"))}, "temperature"),
        ({"sampling": SamplingWish(top_p=-0.1)}, "top_p"),
        ({"sampling": SamplingWish(top_p=1.01)}, "top_p"),
        ({"sampling": SamplingWish(min_p=-0.1)}, "min_p"),
        ({"sampling": SamplingWish(top_k=-1)}, "top_k"),
        ({"sampling": SamplingWish(presence_penalty=2.1)}, "presence_penalty"),
        ({"sampling": SamplingWish(repetition_penalty=0)}, "repetition_penalty"),
    ],
)
def test_field_out_of_range_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    error = refuse(_SEEING, ask(user("a"), **fields))
    assert isinstance(error, InvalidRequest)
    assert error.param == named
    assert named in error.message


def test_work_that_nobody_wants_any_more_is_left() -> None:
    def unwanted() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        build_prompt(_SEEING, ask(user("a")), 4096, unwanted)


def test_sampling_is_the_wish_then_the_models_default_then_neutral() -> None:
    prompt = build_prompt(_SEEING, ask(user("a"), sampling=SamplingWish(top_p=0.5)), 4096).prompt
    assert prompt.sampling == Sampling(seed=7, temperature=1.0, top_k=20, top_p=0.5)
    assert prompt.stop_token_ids == (1002, 1000)


def test_do_sample_false_is_greedy_unless_a_client_asks_otherwise(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(
        '{"do_sample": false, "temperature": 0.6, "eos_token_id": 3}'
    )
    defaults = read_generation_defaults(tmp_path, {})
    assert defaults.stop_token_ids == (3,)
    assert resolve_sampling(SamplingWish(), defaults.wish, 1).temperature == 0
    assert resolve_sampling(SamplingWish(temperature=0.5), defaults.wish, 1).temperature == 0.5
    assert resolve_sampling(SamplingWish(temperature=1e-9), defaults.wish, 1).temperature == 0


def test_stop_tokens_fall_back_to_the_config(tmp_path: Path) -> None:
    inner = {"text_config": {"eos_token_id": 5}}
    assert read_generation_defaults(tmp_path, inner).stop_token_ids == (5,)
    assert read_generation_defaults(tmp_path, {"eos_token_id": [4]}).stop_token_ids == (4,)
    with pytest.raises(ModelInvalid, match="eos_token_id"):
        read_generation_defaults(tmp_path, {})


@pytest.mark.parametrize("end", ["<|im_end|>", {"content": "<|im_end|>", "special": True}])
@pytest.mark.parametrize("generation", [None, '{"eos_token_id": 1000}'])
def test_an_answer_ends_with_the_tokenizers_turn_though_configs_name_only_the_end_of_texts(
    tmp_path: Path, generation: str | None, end: Any
) -> None:
    config = json.loads((_GOLDEN / "qwen3_5" / "config.json").read_text())
    config.pop("eos_token_id", None)
    config["text_config"]["eos_token_id"] = 1000
    tokenizer_config = json.loads((_GOLDEN / "qwen3_5" / "tokenizer_config.json").read_text())
    replaced = {
        "config.json": json.dumps(config),
        "tokenizer_config.json": json.dumps(tokenizer_config | {"eos_token": end}),
        "generation_config.json": generation,
    }
    for source in (_GOLDEN / "qwen3_5").glob("*.j*"):
        text = replaced.get(source.name, source.read_text())
        if text is not None:
            (tmp_path / source.name).write_text(text)
    assert load_text_model(tmp_path).defaults.stop_token_ids == (1000, 1002)


@pytest.mark.parametrize("bad", ['{"top_p": 2}', '{"temperature": "1"}', '{"eos_token_id": "x"}'])
def test_generation_config_out_of_range_is_refused(tmp_path: Path, bad: str) -> None:
    (tmp_path / "generation_config.json").write_text(bad)
    with pytest.raises(ModelInvalid):
        read_generation_defaults(tmp_path, {"eos_token_id": 1})


def copied(folder: Path, **changed: str) -> Path:
    """A small model folder, some of its files replaced."""
    for source in _FAKE_DIR.iterdir():
        (folder / source.name).write_text(changed.get(source.name, source.read_text()))
    return folder


def test_picture_sizes_that_contradict_the_config_are_refused(tmp_path: Path) -> None:
    config = json.loads((_FAKE_DIR / "config.json").read_text())
    config["vision_config"]["patch_size"] = 14
    with pytest.raises(ModelInvalid, match="patch_size"):
        load_text_model(copied(tmp_path, **{"config.json": json.dumps(config)}))


def test_picture_pad_that_a_client_could_write_is_refused(tmp_path: Path) -> None:
    config = json.loads((_FAKE_DIR / "config.json").read_text()) | {"image_token_id": 65}
    with pytest.raises(ModelInvalid, match="image_token_id"):
        load_text_model(copied(tmp_path, **{"config.json": json.dumps(config)}))


def test_loaded_folder_is_kept_until_a_file_changes(tmp_path: Path) -> None:
    models = TextModels()
    first = models.get(copied(tmp_path))
    assert models.get(tmp_path) is first
    (tmp_path / "chat_template.jinja").write_text("changed")
    assert (chat := models.get(tmp_path).chat) and chat.template.render([], now_s=0) == "changed"


def test_a_folder_that_takes_long_keeps_nobody_from_another_and_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()
    read: list[Path] = []

    def load(folder: Path, clock: object) -> TextModel:
        read.append(folder)
        if folder.name == "slow":
            begun.set()
            assert over.wait(20)
        return _SEEING

    monkeypatch.setattr("cortex.engine.text_model.load_text_model", load)
    models = TextModels()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(models.get, tmp_path / "slow") for _ in range(2)]
        try:
            assert begun.wait(20)
            assert models.get(tmp_path / "quick") is _SEEING
        finally:
            over.set()
        assert [future.result() for future in asked] == [_SEEING, _SEEING]
    assert [folder.name for folder in read] == ["slow", "quick"]


def test_a_folder_that_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    models = TextModels()
    path = copied(tmp_path) / "config.json"
    text = path.read_text()
    path.write_text("[" + text[1:])
    times = path.stat().st_mtime_ns
    with pytest.raises(ModelInvalid):
        models.get(tmp_path)
    path.write_text(text)
    os.utime(path, ns=(times, times))  # nobody could tell that it has changed
    models.get(tmp_path)


def test_least_recently_used_folder_is_let_go(tmp_path: Path) -> None:
    models = TextModels(capacity=2)
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        copied(folder)
    a, b = models.get(folders[0]), models.get(folders[1])
    assert models.get(folders[0]) is a
    models.get(folders[2])
    assert models.get(folders[0]) is a
    assert models.get(folders[1]) is not b


def test_tool_turns_reach_the_prompt() -> None:
    call = Message("assistant", tool_calls=(ToolCall("1", "add", '{"a": 1}'),))
    result = Message("tool", (TextPart("2"),), tool_call_id="1")
    prompt = build_prompt(_SEEING, ask(user("a"), call, result), 4096).prompt
    text = _SEEING.tokenizer.decode(prompt.token_ids, skip_special=False)
    assert "<function=add>\n<parameter=a>\n1\n" in text
    assert "<tool_response>\n2\n</tool_response>" in text


def test_wishes_to_the_decoder_reach_the_prompt() -> None:
    request = ask(user("a"), logit_bias=((3, -2.5),), top_logprobs=4, min_tokens=2)
    prompt = build_prompt(_BLIND, request, 4096).prompt
    assert prompt.sampling.logit_bias == ((3, -2.5),)
    assert (prompt.top_logprobs, prompt.min_tokens) == (4, 2)
    assert prompt.stop_token_ids
    assert not build_prompt(_BLIND, replace(request, ignore_eos=True), 4096).prompt.stop_token_ids


def test_a_clients_stop_tokens_stand_beside_the_models_own_unless_these_are_ignored() -> None:
    own = _BLIND.defaults.stop_token_ids
    request = ask(user("a"), stop_token_ids=(own[0], 3, 3))
    assert build_prompt(_BLIND, request, 4096).prompt.stop_token_ids == (*own, 3)
    ignoring = replace(request, ignore_eos=True)
    assert build_prompt(_BLIND, ignoring, 4096).prompt.stop_token_ids == (own[0], 3)


def test_a_stop_token_that_might_end_an_answer_inside_its_form_is_refused() -> None:
    formed = ask(user("a"), grammar=Grammar("choice", '["yes"]'))
    own = _BLIND.defaults.stop_token_ids
    assert build_prompt(_BLIND, replace(formed, stop_token_ids=own), 4096).prompt.grammar
    refused = refuse(_BLIND, replace(formed, stop_token_ids=(*own, 3)))
    assert (refused.param, "token 3 " in refused.message) == ("stop_token_ids", True)


def test_control_tokens_may_stop_an_answer_that_has_a_form() -> None:
    formed = ask(user("a"), grammar=Grammar("choice", '["yes"]'), stop_token_ids=(_IM_START,))
    own = _BLIND.defaults.stop_token_ids
    assert _IM_START not in own
    prompt = build_prompt(_BLIND, formed, 4096).prompt
    assert (bool(prompt.grammar), prompt.stop_token_ids) == (True, (*own, _IM_START))


def test_marks_that_a_form_is_spelt_with_are_refused_as_stops_even_where_they_are_control_tokens(
    tmp_path: Path,
) -> None:
    shutil.copytree(_GOLDEN / "qwen3_5_text", tmp_path, dirs_exist_ok=True)
    files = json.loads((tmp_path / "tokenizer.json").read_text())
    for token in files["added_tokens"]:
        token["special"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(files))
    model = load_text_model(tmp_path)
    mark_id = model.tokenizer.special_id("</think>")
    assert mark_id is not None
    formed = ask(user("a"), grammar=Grammar("choice", '["yes"]'))
    refused = refuse(model, replace(formed, stop_token_ids=(_IM_START, mark_id)))
    assert f"token {mark_id} " in refused.message


def test_stop_tokens_are_refused_before_the_prompt_is_encoded() -> None:
    asked = ask(user("a " * 9000), stop_token_ids=(10**9,))
    with pytest.raises(InvalidRequest) as refused:
        build_prompt(_BLIND, asked, 64)
    assert refused.value.param == "stop_token_ids"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop_token_ids": (10**9,)}, "stop_token_ids"),
        ({"stop_token_ids": (5,) * 65}, "stop_token_ids"),
        ({"logit_bias": ((10**9, 1.0),)}, "logit_bias"),
        ({"logit_bias": ((5, 101.0),)}, "logit_bias"),
        ({"logit_bias": ((5, float("nan")),)}, "logit_bias"),
        ({"logit_bias": tuple((i, 1.0) for i in range(1025))}, "logit_bias"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
def test_wishes_out_of_range_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build_prompt(_BLIND, ask(user("a"), **fields), 4096)
    assert caught.value.param == param


def test_choices_draw_from_seeds_of_their_own_and_the_first_as_if_alone() -> None:
    sampling = Sampling(seed=2**63 - 1)
    seeds = [choice_sampling(sampling, choice).seed for choice in range(32)]
    assert seeds[0] == sampling.seed
    assert len(set(seeds)) == 32
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_what_an_answer_has_to_be_travels_with_its_prompt() -> None:
    request = ask(
        user("a"),
        grammar=Grammar("choice", '["yes"]'),
        reasoning=ReasoningWish(budget_tokens=9),
    )
    prompt = build_prompt(_SEEING, request, 4096).prompt
    assert (prompt.grammar, prompt.reasoning_budget_tokens) == ('start: r0\nr0: "yes"\n', 9)
    assert not build_prompt(_SEEING, ask(user("a")), 4096).prompt.grammar


def test_a_grammar_that_cannot_be_used_is_refused_by_the_clients_name_for_it() -> None:
    request = ask(user("a"), grammar=Grammar("regex", "a", "structured_outputs.regex"))
    with pytest.raises(InvalidRequest, match="because") as refused:
        build_prompt(_SEEING, request, 4096, why_not=lambda grammar, budget: "because")
    assert refused.value.param == "structured_outputs.regex"
