"""`cortex chat`: one answer, or a conversation.

It asks a running peer when there is one and a private node otherwise; which of them it was makes
no difference here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..chat_settings import MAX_SEED, MAX_TOKENS, parse_temperature
from ..config import peer_config
from ..engine_options import EngineWishes, typed_for_own_node
from ..errors import UsageProblem
from ..options import Json, Peer, invocation_of, model_option

if TYPE_CHECKING:
    from cortex.peer.talk.conversation import Conversation, Wishes

    from ..config import Invocation
    from ..diagnostics import Diagnostics
    from ..output import Output
    from ..talker import Manner
    from ..teller import Form


ShowImage = Literal["auto", "blocks", "off"]


def chat(
    context: typer.Context,
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="What to ask; - reads it from standard input. A pipe is put after it.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="FILE",
            help="A picture to ask about (may be given again); - reads it from standard input.",
            show_envvar=False,
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="A text to ask about, put after the prompt (may be given again).",
            show_envvar=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        model_option(
            "Which model answers; `cortex models` lists them. Otherwise the first that can."
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system", "-s", metavar="TEXT", help="What the model should know beforehand."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens", metavar="N", min=1, max=MAX_TOKENS, help="Cut the answer there."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            metavar="X",
            parser=parse_temperature,
            help="From 0, which always takes the likeliest token, to 2. Otherwise what the model"
            " recommends.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=MAX_SEED,
            help="The same seed gives the same answer again.",
        ),
    ] = None,
    as_json: Json = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the model's text and nothing else.")
    ] = False,
    hide_reasoning: Annotated[
        bool,
        typer.Option(
            "--hide-reasoning", help="Do not show what the model thinks before it answers."
        ),
    ] = False,
    no_think: Annotated[
        bool, typer.Option("--no-think", help="Have the model answer at once, where it can.")
    ] = False,
    show_image: Annotated[
        ShowImage,
        typer.Option(
            "--show-image",
            help="Draw pictures at a terminal: blocks always, auto in a conversation alone.",
        ),
    ] = "auto",
    peer: Peer = None,
    wishes: EngineWishes,
) -> None:
    """Ask a model about text and pictures.

    \b
      cortex chat "What is the total?" --image receipt.png
      git diff | cortex chat "write the commit message" --raw > message.txt
      while read -r f; do cortex chat "What is the total?" -i "$f" < /dev/null; done < list.txt
      cortex chat

    With a prompt or a pipe: one answer on standard output, everything else on standard error.
    With neither, at a terminal: a conversation. Standard input is read to its end even where there
    is a prompt: in a loop or a piped script, < /dev/null leaves the rest of it to the shell.

    A running peer of this machine answers; where there is none, this command computes by itself,
    on the CPU. So it does where --models, --engine or another option about the engine is typed
    without --peer.

    With TERM=dumb an answer is printed once and nothing is drawn in place: for ears.
    """
    from cortex.peer.talk.conversation import Wishes

    from ..diagnostics import show_logs, standard_error
    from ..output import standard_output
    from ..talker import answer_once_or_converse

    if as_json and raw:
        raise UsageProblem("--json and --raw exclude each other.")
    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose)
    diagnostics = standard_error(invocation)
    output = standard_output()
    question, conversation = _read_question(
        diagnostics,
        prompt,
        image or [],
        file or [],
        Wishes(model, system, max_tokens, temperature, seed, False if no_think else None),
    )
    answer_once_or_converse(
        peer_config(invocation, wishes),
        peer,
        typed_for_own_node(context),
        question,
        conversation,
        output=output,
        diagnostics=diagnostics,
        manner=_manner(
            invocation,
            output,
            diagnostics,
            "json" if as_json else "raw" if raw else "plain",
            show_image,
            hides_reasoning=hide_reasoning,
        ),
        api_key=invocation.api_key,
        is_late=lambda: invocation.is_late,
    )


def _read_question(
    diagnostics: Diagnostics,
    prompt: str | None,
    images: list[str],
    files: list[str],
    wishes: Wishes,
) -> tuple[str | None, Conversation]:
    """Everything that is asked, read before anything is started: a typing error costs no wait."""
    from cortex.peer.talk.conversation import Conversation
    from cortex.peer.talk.paths import picture_named
    from cortex.peer.talk.pictures import FROM_STDIN, read_picture

    from ..question import checked_text, find_prompt, look_at, read_text

    stdin = look_at(sys.stdin.buffer if sys.stdin else None)
    if images.count(FROM_STDIN) > 1:
        raise UsageProblem("standard input holds one picture; --image - was given twice.")
    if images and prompt is not None and picture_named(prompt) is not None:
        raise UsageProblem(
            f"{prompt} is a picture, not a prompt.",
            f"name --image once for each file: --image {images[-1]} --image {prompt}",
        )
    for name in ("model", "system"):
        checked_text(getattr(wishes, name) or "", f"--{name}")
    texts = [read_text(name) for name in files]
    is_read = prompt == FROM_STDIN
    is_about_files = prompt is not None and bool(images or texts)
    if texts and not is_read:
        prompt = "\n\n".join((*([prompt] if prompt else []), *texts))
    question = find_prompt(
        prompt,
        stdin,
        stdin_is_picture=FROM_STDIN in images,
        is_about_files=is_about_files,
        notice=diagnostics.line,
    )
    if question is not None and is_read:
        question = "\n\n".join((question, *texts))
    pictures = [read_picture(name, stdin and stdin.stream) for name in images]
    return question, Conversation(wishes, pictures=pictures)


def _manner(
    invocation: Invocation,
    output: Output,
    diagnostics: Diagnostics,
    form: Form,
    show_image: ShowImage,
    *,
    hides_reasoning: bool,
) -> Manner:
    """What the terminal can do, and what is wished of it."""
    import shutil

    from ..preview import preview_for
    from ..talker import Manner
    from ..teller import Rendering

    has_colour = invocation.has_colour(is_terminal=output.is_terminal)
    can_render = form == "plain" and output.is_terminal and invocation.can_redraw
    can_draw = show_image != "off" and diagnostics.can_redraw and has_colour
    return Manner(
        form,
        hides_reasoning,
        Rendering(shutil.get_terminal_size, has_colour) if can_render else None,
        preview_for(is_remote=invocation.is_remote) if can_draw and form == "plain" else None,
        previews_always=show_image == "blocks",
    )
