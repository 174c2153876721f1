"""What each coding agent must be told so that it asks this fleet: a table, and nothing is started.

An agent is set up by its environment and its arguments alone, so that what its owner configured
stays as it is. Which peer and which model it gets is decided elsewhere.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .config import KEY_VARIABLE

AgentName = Literal["claude", "codex", "opencode", "aider"]

# The name that the fleet has in an agent's own settings.
_PROVIDER = "cortex"
# Agents want a key even where a peer asks for none.
NO_KEY = "none"
# How long Claude Code waits for more of an answer. A load and a long prompt may take minutes.
_CLAUDE_LIMITS = (
    "CLAUDE_STREAM_IDLE_TIMEOUT_MS",
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS",
    "API_TIMEOUT_MS",
)
_PATIENCE_MS = str(30 * 60 * 1000)
# An answer may take this share of the context; agents set it aside before they fill the rest.
_ANSWER_SHARE = 4


@dataclass(frozen=True, slots=True)
class Target:
    """The peer and the model that an agent is to ask. `address` is HOST:PORT."""

    address: str
    api_key: str
    model: str
    context_tokens: int
    sees_images: bool

    @property
    def root(self) -> str:
        return f"http://{self.address}"

    @property
    def answer_tokens(self) -> int:
        return self.context_tokens // _ANSWER_SHARE


@dataclass(frozen=True, slots=True)
class Setup:
    """How an agent is started: variables to set, variables to hide from it, first arguments."""

    variables: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    arguments: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Agent:
    """`program` is what a shell would start; `install` is the command that gets it."""

    title: str
    program: str
    install: str
    prepare: Callable[[Target], Setup]


def _claude(target: Target) -> Setup:
    names = ("OPUS", "SONNET", "HAIKU", "FABLE")
    return Setup(
        {
            "ANTHROPIC_BASE_URL": target.root,
            "ANTHROPIC_AUTH_TOKEN": target.api_key,
            "ANTHROPIC_MODEL": target.model,
            # Side jobs and subagents ask for these by their family's name.
            **{f"ANTHROPIC_DEFAULT_{name}_MODEL": target.model for name in names},
            "CLAUDE_CODE_SUBAGENT_MODEL": target.model,
            "CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(target.context_tokens),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(target.answer_tokens),
            # It gives up streams in which it sees none but pings, as before a first token.
            **dict.fromkeys(_CLAUDE_LIMITS, _PATIENCE_MS),
        },
        # A key of its owner's own would win over the token.
        hidden=("ANTHROPIC_API_KEY",),
    )


def _codex(target: Target) -> Setup:
    provider = f"model_providers.{_PROVIDER}"
    settings: dict[str, Any] = {
        "model": target.model,
        "model_context_window": target.context_tokens,
        "model_provider": _PROVIDER,
        f"{provider}.name": _PROVIDER,
        f"{provider}.base_url": f"{target.root}/v1",
        # The variable and never the key: arguments are public.
        f"{provider}.env_key": KEY_VARIABLE,
        f"{provider}.wire_api": "responses",
    }
    # A JSON string, and a JSON number, is a TOML one as well.
    pairs = (("-c", f"{name}={json.dumps(value)}") for name, value in settings.items())
    return Setup(
        {KEY_VARIABLE: target.api_key}, arguments=tuple(part for pair in pairs for part in pair)
    )


def _opencode(target: Target) -> Setup:
    seen = ["text", "image"] if target.sees_images else ["text"]
    model = {
        "name": target.model,
        "tool_call": True,
        "attachment": target.sees_images,
        "modalities": {"input": seen, "output": ["text"]},
        "limit": {"context": target.context_tokens, "output": target.answer_tokens},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": _PROVIDER,
        "options": {"baseURL": f"{target.root}/v1", "apiKey": f"{{env:{KEY_VARIABLE}}}"},
        "models": {target.model: model},
    }
    chosen = f"{_PROVIDER}/{target.model}"
    config = {"provider": {_PROVIDER: provider}, "model": chosen, "small_model": chosen}
    return Setup({KEY_VARIABLE: target.api_key, "OPENCODE_CONFIG_CONTENT": json.dumps(config)})


def _aider(target: Target) -> Setup:
    # The prefix is how it is told which dialect to speak.
    model = f"openai/{target.model}"
    return Setup(
        {
            "OPENAI_API_BASE": f"{target.root}/v1",
            "OPENAI_API_KEY": target.api_key,
            "AIDER_MODEL": model,
            "AIDER_WEAK_MODEL": model,
            # It warns of every model whose price it does not know.
            "AIDER_SHOW_MODEL_WARNINGS": "false",
        }
    )


AGENTS: Mapping[AgentName, Agent] = {
    "claude": Agent("Claude Code", "claude", "npm install -g @anthropic-ai/claude-code", _claude),
    "codex": Agent("Codex", "codex", "npm install -g @openai/codex", _codex),
    "opencode": Agent("opencode", "opencode", "npm install -g opencode-ai", _opencode),
    "aider": Agent("aider", "aider", "pip install aider-chat", _aider),
}


def in_shell_form(agent: Agent, setup: Setup) -> list[str]:
    """Lines that a POSIX shell may evaluate, so that the agent can be started by hand."""
    lines = [f"unset {name}" for name in setup.hidden]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in setup.variables.items()]
    if setup.arguments:
        lines.append(f"# and then: {shlex.join((agent.program, *setup.arguments))}")
    return lines
