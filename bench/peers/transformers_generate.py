"""Hugging Face transformers: `generate` with a static cache, in a process of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .base import Running, Setting
from .process import make_venv, version_of
from .scripted import scripted

# The converter of llama.cpp runs in this environment too, and needs the last two.
_PACKAGES = ("torch==2.13.0", "transformers==5.23.0", "sentencepiece", "protobuf")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class TransformersGenerate:
    name = "transformers"
    settings = "generate, sdpa, static cache, all prompts as one batch"

    def __init__(self, python: Path | None = None) -> None:
        """With a Python that has transformers already, nothing is installed."""
        self._python = python

    def install(self, root: Path) -> str:
        return version_of(self.python(root), "transformers")

    def python(self, root: Path) -> Path:
        return self._python or make_venv(root / "transformers", _PACKAGES)

    def running(self, root: Path, setting: Setting) -> AbstractContextManager[Running]:
        options = ("--dtype", setting.dtype, "--threads", str(setting.threads))
        options += ("--device", setting.device)
        return scripted(
            self.python(root),
            "answer_with_transformers.py",
            (str(setting.model_dir), *options),
            setting.log,
            OFFLINE | {"OMP_NUM_THREADS": str(setting.threads)},
        )
