"""The command that starts a vLLM server with safe flags, in an environment of its own.

https://docs.vllm.ai/en/latest/usage/security.html
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.settings import VlmSettings
from rag.errors import MissingModel, UsageError
from rag.generators.vllm_models import family_of

NO_DOMAIN = "none.invalid"
"""Images by address are allowed from here alone; an empty list would allow every host. RFC 6761: it never resolves."""
_KEY = "VLLM_API_KEY"
_FIXED = frozenset({"--host", "--port", "--api-key", "--allowed-media-domains", "--served-model-name"})


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """model: a folder or a hub id. environment: a virtual environment whose bin/vllm is used. more: flags of vLLM."""

    model: str
    port: int = 8000
    gpu_memory: float = 0.9
    max_model_len: int = 0
    environment: Path | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """A command, the variables it needs, and the variable that holds the API key, if it is set."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    served: str
    key_variable: str

    def shell(self) -> str:
        """The command as a line for a shell; the key itself is never shown."""
        named = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " ".join([*named, f'{_KEY}="${self.key_variable}"', shlex.join(self.arguments)])

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Every variable of the server's process, from those of this one."""
        key = own.get(self.key_variable, "")
        return {**own, **self.variables, **({_KEY: key} if key else {})}


def serve_command(settings: VlmSettings, options: ServeOptions) -> ServeCommand:
    """The server's command: on this machine only, no address is fetched, no tools, JSON without endless white space.

    Raises:
        UsageError: a further flag is one that is set here, or the environment has no vLLM.
        MissingModel: the model is named as a folder that is not there.
    """
    served = settings.model or Path(options.model).name
    family = family_of(served, settings.family)
    if options.model.startswith((".", "/", "~")) and not Path(options.model).expanduser().is_dir():
        raise MissingModel(options.model, detail="there is no such folder")
    length = options.max_model_len or family.context
    images = settings.images or family.images
    grammar = {"backend": "xgrammar", "disable_any_whitespace": True}
    flags: dict[str, str] = {
        "--host": "127.0.0.1",
        "--port": str(options.port),
        "--served-model-name": served,
        **({"--max-model-len": str(length)} if length else {}),
        "--gpu-memory-utilization": f"{options.gpu_memory:g}",
        "--max-num-seqs": str(max(16, settings.concurrency)),
        # Sampling is said with each request; the model folder's own settings have no say.
        "--generation-config": "vllm",
        "--limit-mm-per-prompt": json.dumps({"image": images}),
        "--allowed-media-domains": NO_DOMAIN,
        "--structured-outputs-config": json.dumps(grammar),
    }
    model = str(Path(options.model).expanduser()) if options.model.startswith("~") else options.model
    pairs = [word for flag in flags.items() for word in flag]
    arguments = (_program(options.environment), "serve", model, *pairs, *_allowed(options.more))
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    return ServeCommand(arguments, {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0", **quiet}, served, settings.api_key_env)


def _program(environment: Path | None) -> str:
    if environment is None:
        return "vllm"
    program = environment.expanduser() / "bin" / "vllm"
    if not program.is_file():
        raise UsageError(f"there is no {program}; make the environment with: python -m venv, then pip install vllm")
    return str(program.absolute())


def _allowed(more: tuple[str, ...]) -> tuple[str, ...]:
    for word in more:
        if word.partition("=")[0] in _FIXED:
            raise UsageError(f"{word}: this flag is set by vesalius itself (docs/serve-a-model.md)")
    return more
