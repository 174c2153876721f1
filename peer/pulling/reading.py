"""What the engine would say of a folder whose weights have still to come.

It is asked in a process of its own, which opens a stranger's files and is gone then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from cortex.engine.errors import EngineFailed, ErrorInfo, ModelInvalid, from_info
from cortex.engine.frames import FrameError, unpack_value

from ..children.commands import check_command
from ..config import PeerConfig
from ..models.folder import Unserved

# A second for the tokenizer and some for torch, and many of them where a machine is busy.
_LONGEST_S = 120.0
_KEPT = "what has come is kept: pull it again when this machine is less busy"

logger = logging.getLogger(__name__)


async def why_unreadable(config: PeerConfig, folder: Path) -> Unserved | None:
    """Why no request for that model would be answered; None where nothing is known against it, be
    it that the engine cannot be asked here.

    Raises EngineFailed where that is not found out, be it the model's fault or this machine's.
    """
    process = await asyncio.create_subprocess_exec(
        *check_command(config, folder),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        # Out of reach of the terminal's ctrl-c, which is ours.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_LONGEST_S):
            told, _ = await process.communicate()
    except TimeoutError:
        message = f"reading the model, without its weights, took over {_LONGEST_S:g} s"
        raise EngineFailed(message, _KEPT) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it went in this very moment
                process.kill()
            await process.wait()
    assert process.returncode is not None
    if process.returncode < 0:
        message = f"reading the model, without its weights, ended by signal {-process.returncode}"
        raise EngineFailed(message, _KEPT)
    if process.returncode:
        logger.warning("folder not checked path=%s exit_code=%d", folder, process.returncode)
        return None
    return _reason(told, folder) if told else None


def _reason(told: bytes, folder: Path) -> Unserved | None:
    try:
        error = from_info(unpack_value(ErrorInfo, told))
    except FrameError as frame_error:
        logger.warning("folder not checked path=%s reason=%s", folder, frame_error.message)
        return None
    logger.warning("folder checked path=%s error=%s", folder, error.message)
    if not isinstance(error, ModelInvalid):
        return None
    # The folder is gone when this is read.
    reason = error.message.replace(f"{folder}/", "").replace(str(folder), "it")
    return Unserved(reason, error.hint)
