"""`cortex launch`: a coding agent, started so that it asks this fleet.

Nothing is written to the agent's own settings; what it must know is `agents`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..agents import AGENTS, NO_KEY, Agent, AgentName, Setup, Target, in_shell_form
from ..config import environment_with, peer_config
from ..engine_options import EngineWishes
from ..errors import AgentMissing
from ..options import Peer, invocation_of, model_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortex.peer.config import PeerConfig
    from cortex.peer.types import ModelInfo

    from ..diagnostics import Diagnostics

# What agents say before their first question is 4,000 to 15,000 tokens long.
_LEAST_TOKENS = 16_384
_PULL_ONE = (
    "fetch a larger one: cortex pull Qwen/Qwen3.5-4B; a lower [engine] context of the peer's"
    " settings bounds every model"
)


def launch(
    context: typer.Context,
    agent: Annotated[AgentName, typer.Argument(metavar="AGENT", help="Which one to start.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- ARGUMENT...]", help="What it is given as arguments of its own."
        ),
    ] = None,
    model: Annotated[
        str | None,
        model_option(
            "Which model it asks; `cortex models` lists them. Otherwise the first with the room."
        ),
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the environment for a shell, and start nothing.")
    ] = False,
    peer: Peer = None,
) -> None:
    """Start a coding agent against this fleet: claude, codex, opencode or aider.

    \b
      cortex launch claude
      cortex launch codex --model ID -- exec "fix the tests"
      eval "$(cortex launch aider --print)"

    A running peer of this machine answers it, or the one that --peer names. The agent's own
    settings stay as they are: it is told by its environment and its arguments. Where a peer
    elsewhere wants a key, it is taken from CORTEX_API_KEY.
    """
    from ..diagnostics import show_logs, standard_error
    from ..output import standard_output

    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose)
    diagnostics = standard_error(invocation)
    chosen = AGENTS[agent]
    program = "" if print_only else find_program(chosen)
    config = peer_config(invocation, EngineWishes())
    target = _find_target(config, peer, model, invocation.api_key, diagnostics)
    if target.context_tokens < _LEAST_TOKENS:
        diagnostics.line(
            f"{target.model} takes {target.context_tokens:,} tokens, which the instructions of"
            f" {chosen.title} may fill: {_PULL_ONE}"
        )
    setup = chosen.prepare(target)
    if print_only:
        for line in in_shell_form(chosen, setup):
            standard_output().line(line)
        return
    diagnostics.notice(f"{chosen.title} asks {target.model} at {target.address}")
    _become(program, setup, arguments or ())


def find_program(agent: Agent) -> str:
    """Where the agent is. Raises AgentMissing."""
    import shutil

    found = shutil.which(agent.program)
    if found is None:
        raise AgentMissing(
            f"{agent.title} is not installed: there is no {agent.program} on the PATH",
            f"install it with: {agent.install}",
        )
    return found


def _find_target(
    config: PeerConfig, peer: str | None, model: str | None, api_key: str | None, to: Diagnostics
) -> Target:
    from cortex.peer.client.backends import find_peer
    from cortex.peer.errors import nobody_here

    from ..bridge import bridge

    finding = find_peer(config, peer, on_notice=to.notice, api_key=api_key)
    with bridge() as loop, loop.entered(finding) as backend:
        if backend is None:
            raise nobody_here(config.locations.note_dirs)
        found = choose_model(loop.call(backend.models()), model, backend.name)
        return Target(
            backend.name,
            backend.api_key or NO_KEY,
            found.id,
            found.context_length,
            sees_images=found.sees_images,
        )


def choose_model(models: Sequence[ModelInfo], wanted: str | None, peer: str) -> ModelInfo:
    """The model that is wanted, or the first one that chats and has room for an agent.

    Raises ModelNotFound.
    """
    import difflib

    from cortex.engine.errors import ModelNotFound

    by_id = {model.id: model for model in models}
    if wanted in by_id:
        return by_id[wanted]
    if wanted is None and models:
        for model in models:
            if model.takes_chats and model.context_length >= _LEAST_TOKENS:
                return model
        raise ModelNotFound(
            f"no model that chats of the peer at {peer} takes the {_LEAST_TOKENS:,} tokens that an"
            " agent's instructions and a first file need",
            f"{_PULL_ONE}; --model ID starts one anyway",
        )
    if wanted is None:
        raise ModelNotFound(
            f"the peer at {peer} has no models", "name a folder that holds some: --models DIR"
        )
    near = difflib.get_close_matches(wanted, by_id, n=1)
    raise ModelNotFound(
        f"the peer at {peer} has no model called {wanted}",
        f"did you mean {near[0]}?" if near else "all of them: cortex models",
    )


def _become(program: str, setup: Setup, arguments: Sequence[str]) -> None:
    """Be the agent from here on: its signals, its terminal and its exit code are its own."""
    import os
    import subprocess

    environment = environment_with(setup.variables, setup.hidden)
    command = [program, *setup.arguments, *arguments]
    if os.name == "posix":
        os.execve(program, command, environment)
    raise typer.Exit(subprocess.call(command, env=environment))
