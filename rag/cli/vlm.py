"""`vesalius vlm`: start a model server with safe flags, and check one."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli.common import Subcommands, command, emit_json, note, settings
from rag.errors import UsageError

if TYPE_CHECKING:
    from pipelines.settings import VlmSettings
    from pipelines.vlm_serving import ServeCommand


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("vlm", help="start a vision-language model's server, or check one")
    group = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    serve = command(group, "serve", run_serve, "print the command that starts a vLLM server with safe flags, or run it")
    serve.add_argument("model", help="a folder, or a model id of the hub")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--gpu-memory", type=float, default=0.9, metavar="SHARE", help="of the GPU's memory (0.9)")
    serve.add_argument("--max-model-len", type=int, default=0, metavar="N", help="tokens of prompt and reply together")
    serve.add_argument("--environment", type=Path, metavar="DIR", help="the virtual environment that holds vLLM")
    serve.add_argument("--flags", default="", metavar="TEXT", help='more for vllm serve: --flags="--dtype bfloat16"')
    serve.add_argument("--run", dest="start", action="store_true", help="start it, instead of printing the command")
    check = command(group, "check", run_check, "try text, an image, a schema and logprobs on a running server")
    check.add_argument("--url", help="the API's root (default: vlm.url)")
    check.add_argument("--model", help="the name it is served under (default: vlm.model, else the first served)")
    check.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds for each attempt (120)")


def run_serve(args: argparse.Namespace) -> int:
    """Print or run the server's command."""
    from pipelines.vlm_serving import ServeOptions, serve_command

    if not 0 < args.port < 65536 or not 0 < args.gpu_memory <= 1:
        raise UsageError("--port is from 1 to 65535, and --gpu-memory is above 0 and at most 1")
    vlm = settings(args).vlm
    options = ServeOptions(
        args.model, args.port, args.gpu_memory, args.max_model_len, args.environment, _words(args.flags)
    )
    made = serve_command(vlm, options)
    if args.start:
        return _start(args, made)
    if args.json:
        variables = {**made.variables, "VLLM_API_KEY": f"${made.key_variable}"}
        emit_json({"command": made.arguments, "environment": variables, "model": made.served})
        return 0
    print(made.shell())
    address = "" if args.port == 8000 else f" --set vlm.url=http://127.0.0.1:{args.port}/v1"
    note(args, f"then: vesalius vlm check --set vlm.model={made.served}{address}")
    return 0


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--flags {text}: {error}") from error


def _start(args: argparse.Namespace, made: ServeCommand) -> int:
    """Become the server, so that signals and the exit code are its own."""
    if not os.environ.get(made.key_variable):
        note(args, f"no key in {made.key_variable}: every user of this machine may ask the server")
    try:
        os.execvpe(made.arguments[0], made.arguments, made.environment(os.environ))
    except OSError as error:
        raise UsageError(
            f"{made.arguments[0]} cannot be run ({error.strerror}); give --environment DIR, a virtual environment in "
            f"which vllm is installed"
        ) from error


def run_check(args: argparse.Namespace) -> int:
    """One line per attempt; exit 1 when one failed, 3 when the server is down."""
    from pipelines.vlm_check import check_server

    rows = []
    for row in check_server(_named(settings(args).vlm, args), args.timeout):
        rows.append(row)
        if not args.json:
            print(f"{'ok  ' if row.ok else 'FAIL'} {row.check}: {row.detail} ({row.seconds:.1f} s)", flush=True)
    ok = all(row.ok for row in rows)
    if args.json:
        emit_json({"ok": ok, "checks": [asdict(row) for row in rows]})
    return 0 if ok else 1


def _named(vlm: VlmSettings, args: argparse.Namespace) -> VlmSettings:
    given = {"url": args.url, "model": args.model}
    return vlm.model_copy(update={name: value for name, value in given.items() if value is not None})
