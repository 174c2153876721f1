"""Choices, log probabilities, biases and plain completions over HTTP, with real children."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import Server
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
DEADLINE_S = 30
# The fake engine's letters are its byte-level tokens.
CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"


@asynccontextmanager
async def asking(make_config: MakeConfig) -> AsyncGenerator[tuple[Server, aiohttp.ClientSession]]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(make_config()) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        yield server, session


async def post(session: aiohttp.ClientSession, path: str, **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"model": "fake", "max_tokens": 8, "seed": 1}
    given |= {"messages": QUESTION} if path == CHAT else {"prompt": "Once"}
    async with session.post(path, json=given | fields) as response:
        reply = await response.json()
        assert response.status == 200, reply
        return reply


async def stream(session: aiohttp.ClientSession, path: str, **fields: Any) -> list[dict[str, Any]]:
    given: dict[str, Any] = {"model": "fake", "max_tokens": 8, "seed": 1, "stream": True}
    given |= {"messages": QUESTION} if path == CHAT else {"prompt": "Once"}
    async with session.post(path, json=given | fields) as response:
        lines = (await response.text()).split("\n\n")
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


async def refusal(session: aiohttp.ClientSession, path: str, **fields: Any) -> tuple[int, Any]:
    given: dict[str, Any] = {"model": "fake"}
    given |= {"messages": QUESTION} if path == CHAT else {"prompt": "Once"}
    async with session.post(path, json=given | fields) as response:
        error = (await response.json())["error"]
        return response.status, (error["code"], error["param"])


def num_queued(server: Server) -> int:
    """What the engine said last of how many answers it has in work."""
    alive = server.node.health.engines[0].last_alive
    return 0 if alive is None else alive.queued


async def test_several_choices_differ_and_the_prompt_is_paid_once(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        alone = await post(session, CHAT)
        reply = await post(session, CHAT, n=3)
        texts = [choice["message"]["content"] for choice in reply["choices"]]
        assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
        assert texts[0] == alone["choices"][0]["message"]["content"]
        assert len(set(texts)) == 3
        assert reply["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
        assert reply["usage"]["completion_tokens"] == 24
        assert (await post(session, CHAT, n=3))["choices"] == reply["choices"]


async def test_streamed_choices_open_in_order_and_end_once_each(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        whole = await post(session, CHAT, n=3)
        chunks = await stream(session, CHAT, n=3, stream_options={"include_usage": True})
        openings = [chunk["choices"][0] for chunk in chunks[:3]]
        assert [c["index"] for c in openings] == [0, 1, 2]
        assert all(c["delta"] == {"role": "assistant", "content": ""} for c in openings)
        texts: dict[int, str] = defaultdict(str)
        ended: list[int] = []
        for chunk in chunks[3:-1]:
            [choice] = chunk["choices"]
            assert choice["index"] not in ended
            texts[choice["index"]] += choice["delta"].get("content", "")
            if choice["finish_reason"] is not None:
                ended.append(choice["index"])
        assert sorted(ended) == [0, 1, 2]
        assert [texts[i] for i in range(3)] == [
            choice["message"]["content"] for choice in whole["choices"]
        ]
        assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])


@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_leaving_stops_every_choice(make_config: MakeConfig, path: str):
    config = make_config(fake_token_interval_ms=5)
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        body: dict[str, Any] = {"model": "fake", "n": 4, "stream": True, "ignore_eos": True}
        body |= {"messages": QUESTION} if path == CHAT else {"prompt": ["a", "b"]}
        body |= {"max_tokens": 20_000}
        async with session.post(path, json=body) as response:
            await response.content.readuntil(b"data: ")
            num_answers = 4 if path == CHAT else 8
            while num_queued(server) < num_answers:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        while server.node.health.live_requests:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.01)
        # The engine has none left either: what it says of itself comes each second.
        while num_queued(server):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_log_probabilities_ride_with_their_tokens(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        wish = {"logprobs": True, "top_logprobs": 2}
        reply = await post(session, CHAT, **wish)
        entries = reply["choices"][0]["logprobs"]["content"]
        assert len(entries) == reply["usage"]["completion_tokens"]
        said = b"".join(bytes(entry["bytes"]) for entry in entries)
        assert said.decode() == reply["choices"][0]["message"]["content"]
        for entry in entries:
            assert [len(entry["top_logprobs"]), entry["logprob"] <= 0] == [2, True]
            assert entry["top_logprobs"][0] == {
                name: entry[name] for name in ("token", "logprob", "bytes")
            }
        chunks = await stream(session, CHAT, **wish)
        told = [c["choices"][0]["logprobs"] for c in chunks]
        assert [e for one in told if one for e in one["content"]] == entries
        bare = await post(session, CHAT, logprobs=True)
        assert bare["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
        assert (await post(session, CHAT))["choices"][0]["logprobs"] is None


async def test_biases_and_ignored_ends_reach_the_engine(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        [letter] = (await post(session, PLAIN, max_tokens=1, return_token_ids=True))["choices"][0][
            "token_ids"
        ]
        wish = {"logit_bias": {str(letter): 100}, "ignore_eos": True, "max_tokens": 300}
        reply = await post(session, CHAT, **wish, return_token_ids=True)
        assert reply["choices"][0]["token_ids"] == [letter] * 300
        assert reply["choices"][0]["finish_reason"] == "length"


async def test_an_id_outside_the_vocabulary_is_refused_before_any_work(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        refused = (400, ("invalid_request", "logit_bias"))
        assert await refusal(session, CHAT, logit_bias={"999999999": 1}) == refused
        refused = (400, ("invalid_request", "prompt"))
        assert await refusal(session, PLAIN, prompt=[0, 10**9]) == refused
        assert await refusal(session, PLAIN, prompt="") == refused
        assert await refusal(session, PLAIN, prompt=["good", ""], stream=True) == refused


async def test_prompts_are_answered_each_as_if_alone(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        alone = [await post(session, PLAIN, prompt=p, n=2) for p in ("Once", "Twice")]
        both = await post(session, PLAIN, prompt=["Once", "Twice"], n=2)
        assert both["object"] == "text_completion"
        assert both["id"].startswith("cmpl-")
        assert [c["index"] for c in both["choices"]] == [0, 1, 2, 3]
        assert [c["text"] for c in both["choices"]] == [
            choice["text"] for reply in alone for choice in reply["choices"]
        ]
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert both["usage"][name] == sum(reply["usage"][name] for reply in alone)


async def test_a_prompt_of_token_ids_is_the_text_of_those_tokens(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        first = await post(session, PLAIN, prompt="Once", max_tokens=4, return_token_ids=True)
        [choice] = first["choices"]
        again = await post(session, PLAIN, prompt=choice["token_ids"], max_tokens=6)
        same = await post(session, PLAIN, prompt=choice["text"], max_tokens=6)
        assert again["choices"] == same["choices"]
        assert again["usage"]["prompt_tokens"] == 4


async def test_streamed_completions_join_to_the_whole_ones(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        wish = {"prompt": ["Once", "Twice"], "logprobs": 2, "return_token_ids": True}
        whole = await post(session, PLAIN, **wish)
        chunks = await stream(session, PLAIN, **wish, stream_options={"include_usage": True})
        assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])
        for expected in whole["choices"]:
            pieces = [
                c for chunk in chunks for c in chunk["choices"] if c["index"] == expected["index"]
            ]
            assert "".join(piece["text"] for piece in pieces) == expected["text"]
            assert pieces[-1]["finish_reason"] == expected["finish_reason"]
            ids = [token_id for piece in pieces for token_id in piece["token_ids"]]
            assert ids == expected["token_ids"]
            for name, values in expected["logprobs"].items():
                told = [v for p in pieces if p["logprobs"] for v in p["logprobs"][name]]
                assert told == values
        offsets = whole["choices"][0]["logprobs"]["text_offset"]
        assert offsets == list(range(8))


async def test_offsets_of_tokens_are_those_of_the_text_where_it_leaves_some_out(
    make_config: MakeConfig,
):
    async with asking(make_config) as (_, session):
        wish = {"logit_bias": {"65": 100, "258": 100}, "ignore_eos": True, "max_tokens": 32}
        [choice] = (await post(session, PLAIN, **wish, logprobs=0))["choices"]
        tokens, offsets = (choice["logprobs"][name] for name in ("tokens", "text_offset"))
        assert set(tokens) == {"A", "<|im_end|>"}
        assert choice["text"] == "A" * tokens.count("A")
        assert offsets == [tokens[:at].count("A") for at in range(len(tokens))]


@pytest.mark.parametrize("logprobs", [None, 0, 2])
async def test_an_echoed_prompt_begins_every_choice(make_config: MakeConfig, logprobs: int | None):
    async with asking(make_config) as (_, session):
        wish: dict[str, Any] = {"prompt": ["Once", "Gr\u00fc\u00dfe"], "n": 2, "logprobs": logprobs}
        plain = await post(session, PLAIN, **wish)
        echoed = await post(session, PLAIN, **wish, echo=True)
        for before, choice in zip(plain["choices"], echoed["choices"], strict=True):
            prompt = wish["prompt"][choice["index"] // 2]
            assert choice["text"] == prompt + before["text"]
            if logprobs is None:
                assert choice["logprobs"] is None
                continue
            told, num_bytes = choice["logprobs"], len(prompt.encode())
            assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
            assert None not in told["token_logprobs"][1:]
            names = ("tokens", "token_logprobs", "top_logprobs")
            for text, value, best in zip(*(told[name][1:] for name in names), strict=True):
                assert best[text] >= value and len(best) <= logprobs + 1
            assert told["token_logprobs"][num_bytes:] == before["logprobs"]["token_logprobs"]
            assert told["text_offset"][num_bytes:] == [
                len(prompt) + offset for offset in before["logprobs"]["text_offset"]
            ]
        assert echoed["usage"] == plain["usage"]


async def test_an_end_that_was_drawn_is_the_last_log_probability_of_a_plain_completion(
    make_config: MakeConfig,
):
    async with asking(make_config) as (_, session):
        end = 258
        wish: dict[str, Any] = {"logprobs": 1, "max_tokens": 1, "logit_bias": {str(end): 100}}
        plain = await post(session, PLAIN, prompt="Once", **wish)
        echoed = await post(session, PLAIN, prompt="Once", **wish, echo=True)
        chunks = await stream(session, PLAIN, prompt="Once", **wish)
        chat = await post(session, CHAT, logprobs=True, max_tokens=1, logit_bias=wish["logit_bias"])

    [choice], [whole] = plain["choices"], echoed["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    assert choice["logprobs"]["tokens"] == ["<|im_end|>"]
    assert len(choice["logprobs"]["top_logprobs"][0]) == 1
    assert whole["logprobs"]["tokens"] == [*"Once", "<|im_end|>"]
    assert whole["logprobs"]["text_offset"] == [0, 1, 2, 3, 4]
    assert whole["logprobs"]["token_logprobs"][4:] == choice["logprobs"]["token_logprobs"]
    assert plain["usage"]["completion_tokens"] == 0
    told = [c["choices"][0]["logprobs"] for c in chunks]
    assert told == [choice["logprobs"], None]
    assert chat["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_a_stop_token_ends_the_answer_where_the_models_own_end_is_ignored(
    make_config: MakeConfig, path: str
):
    async with asking(make_config) as (_, session):
        wish: dict[str, Any] = {"logit_bias": {"65": 100}, "ignore_eos": True, "max_tokens": 4}
        [going_on] = (await post(session, path, **wish))["choices"]
        [stopped] = (await post(session, path, **wish, stop_token_ids=[65]))["choices"]
        wish |= {"stop": "AA", "return_token_ids": True}
        [cut] = (await post(session, path, **wish))["choices"]
        [whole] = (await post(session, path, **wish, include_stop_str_in_output=True))["choices"]

    def text(choice: dict[str, Any]) -> str:
        return choice["text"] if path == PLAIN else choice["message"]["content"]

    assert (text(going_on), going_on["finish_reason"]) == ("AAAA", "length")
    assert (text(stopped), stopped["finish_reason"]) == ("", "stop")
    assert (text(cut), text(whole), whole["finish_reason"]) == ("", "AA", "stop")
    assert cut["token_ids"] == whole["token_ids"] == [65, 65]


async def test_a_prompt_may_be_echoed_without_an_answer_and_streamed(make_config: MakeConfig):
    async with asking(make_config) as (_, session):
        wish: dict[str, Any] = {"prompt": [79, 110], "logprobs": 1, "echo": True, "max_tokens": 0}
        whole = await post(session, PLAIN, **wish)
        [choice] = whole["choices"]
        assert (choice["text"], choice["finish_reason"]) == ("On", "length")
        assert (len(choice["logprobs"]["tokens"]), whole["usage"]["completion_tokens"]) == (2, 0)
        chunks = await stream(session, PLAIN, **wish)
        assert [c["choices"][0]["text"] for c in chunks] == ["On", ""]
        assert chunks[0]["choices"][0]["logprobs"] == choice["logprobs"]
