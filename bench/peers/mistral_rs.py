"""mistral.rs, from its Python package, in a process of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .base import CannotRun, Running, Setting
from .process import make_venv, version_of
from .scripted import scripted
from .transformers_generate import OFFLINE


class MistralRs:
    name = "mistralrs"
    settings = "Runner of the Python package, a stream each, prefix cache off, its own f16 KV cache"

    def install(self, root: Path) -> str:
        return version_of(self._python(root), "mistralrs")

    def running(self, root: Path, setting: Setting) -> AbstractContextManager[Running]:
        if setting.family != "qwen3":
            raise CannotRun("it knows this architecture with vision only, not as a text checkpoint")
        options = ("--dtype", setting.dtype, "--concurrency", str(setting.concurrency))
        return scripted(
            self._python(root),
            "answer_with_mistralrs.py",
            (str(setting.model_dir), *options),
            setting.log,
            OFFLINE | {"RAYON_NUM_THREADS": str(setting.threads)},
        )

    def _python(self, root: Path) -> Path:
        return make_venv(root / "mistralrs", ("mistralrs==0.9.5",))
