"""llama.cpp: its server, built here for this processor from the llama-cpp-python source package."""

from __future__ import annotations

import sys
import tarfile
from contextlib import AbstractContextManager
from pathlib import Path

from ..make_checkpoint import Dtype
from .base import CannotRun, Family, Running, Setting
from .process import free_port, run
from .scripted import SCRIPTS
from .served import serving
from .transformers_generate import TransformersGenerate

_VERSION = "0.3.36"
_NAME = f"llama_cpp_python-{_VERSION}"
_SWITCHES = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)
_OUT_TYPES: dict[Dtype, str] = {"bfloat16": "bf16", "float32": "f32"}
# Which published tokenizer cuts text as the made one does, and what else the family needs said.
_CONVERSIONS: dict[Family, tuple[str, tuple[str, ...]]] = {
    "qwen3": ("qwen2", ()),
    "qwen3_5": ("qwen35", ("--no-mtp",)),
}


class LlamaCpp:
    name = "llama.cpp"
    settings = "llama-server, a slot for each request, prompt cache off, its own f16 KV cache"

    def install(self, root: Path) -> str:
        folder = root / "llama.cpp"
        log = root / "llama.cpp.install.log"
        server = _server(root)
        if not server.exists():
            folder.mkdir(parents=True, exist_ok=True)
            pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps")
            package = ("--no-binary", "llama-cpp-python", f"llama-cpp-python=={_VERSION}")
            run([*pip, "-d", folder, *package], log)
            with tarfile.open(folder / f"{_NAME}.tar.gz") as archive:
                archive.extractall(folder, filter="data")
            build = folder / "build"
            run(["cmake", "-S", _source(root), "-B", build, "-G", "Ninja", *_SWITCHES], log)
            run(["ninja", "-C", build, "llama-server"], log)
        return f"as in llama-cpp-python {_VERSION}"

    def running(self, root: Path, setting: Setting) -> AbstractContextManager[Running]:
        port = free_port()
        command = (
            _server(root),
            *("-m", str(_converted(root, setting)), "--offline", "--no-cache-prompt"),
            *("-t", str(setting.threads), "-np", str(setting.concurrency)),
            # The context is shared out among the slots.
            *("-c", str(setting.context_tokens * setting.concurrency)),
            *("--host", "127.0.0.1", "--port", str(port)),
        )
        return serving(command, setting.log, port=port, model="m", env={}, ready_path="/health")


def _source(root: Path) -> Path:
    return root / "llama.cpp" / _NAME / "vendor" / "llama.cpp"


def _server(root: Path) -> Path:
    return root / "llama.cpp" / "build" / "bin" / "llama-server"


def _converted(root: Path, setting: Setting) -> Path:
    """The checkpoint as GGUF, beside its folder; made once."""
    path = setting.model_dir.with_suffix(".gguf")
    if path.exists():
        return path
    if not _source(root).exists():
        raise CannotRun(f"{_source(root)} is missing: install it first")
    cuts_like, also = _CONVERSIONS[setting.family]
    partial = path.with_suffix(".gguf.partial")
    python = TransformersGenerate().python(root)
    files = (str(setting.model_dir), "--outfile", str(partial))
    out_type = ("--outtype", _OUT_TYPES[setting.dtype])
    script = (SCRIPTS / "convert_to_gguf.py", str(_source(root)), cuts_like)
    run([python, *script, *files, *out_type, *also], setting.log.with_suffix(".convert.log"))
    partial.rename(path)
    return path
