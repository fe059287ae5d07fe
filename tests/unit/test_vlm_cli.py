"""`vesalius vlm`: the server's command, and the check of a server."""

import json
import os
import shlex
from dataclasses import replace

import pytest

from benchmarks.chat_faults import closed_port
from pipelines.settings import VlmSettings
from pipelines.vlm import chat_options, open_chat_model, wanted
from rag.cli.app import main
from rag.errors import ConfigError
from rag.testing.chat_server import ChatServer, Turn


def flags(words):
    """Flags and their values."""
    return {words[i]: words[i + 1] for i in range(len(words) - 1) if words[i].startswith("--")}


def served(capsys, *arguments):
    code = main(["vlm", "serve", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_is_safe_by_default(capsys):
    code, shown = served(capsys, "lingshu-medical-mllm/Lingshu-7B")
    given = flags(shown["command"])
    assert (code, shown["model"]) == (0, "Lingshu-7B")
    assert shown["command"][:3] == ["vllm", "serve", "lingshu-medical-mllm/Lingshu-7B"]
    assert given["--host"] == "127.0.0.1"
    assert given["--served-model-name"] == "Lingshu-7B"
    assert given["--allowed-media-domains"].endswith(".invalid")
    assert json.loads(given["--limit-mm-per-prompt"]) == {"image": 8}
    assert json.loads(given["--structured-outputs-config"]) == {"backend": "xgrammar", "disable_any_whitespace": True}
    assert shown["environment"]["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def test_settings_and_flags_shape_the_command(capsys):
    more = ["--port", "9000", "--gpu-memory", "0.5", "--max-model-len", "4096", "--flags=--dtype bfloat16"]
    _, shown = served(capsys, "x/y", *more, "--set", "vlm.model=mine", "--set", "vlm.images=3")
    given = flags(shown["command"])
    assert (given["--port"], given["--gpu-memory-utilization"], given["--max-model-len"]) == ("9000", "0.5", "4096")
    assert (given["--served-model-name"], given["--limit-mm-per-prompt"]) == ("mine", '{"image": 3}')
    assert shown["command"][-2:] == ["--dtype", "bfloat16"]


def test_the_key_is_never_shown(capsys, monkeypatch):
    monkeypatch.setenv("VESALIUS_VLM_API_KEY", "very-secret")
    assert main(["vlm", "serve", "x/medgemma-4b-it"]) == 0
    shown = capsys.readouterr()
    assert "very-secret" not in shown.out + shown.err
    assert 'VLLM_API_KEY="$VESALIUS_VLM_API_KEY"' in shown.out
    assert "vlm.model=medgemma-4b-it" in shown.err
    assert "serve" in shlex.split(shown.out)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["x/y", "--flags=--host 0.0.0.0"], 2, "set by vesalius itself"),
        (["x/y", "--flags=--allowed-media-domains=evil.example"], 2, "set by vesalius itself"),
        (["x/y", "--flags='"], 2, "--flags"),
        (["x/y", "--port", "0"], 2, "--port"),
        (["x/y", "--gpu-memory", "1.5"], 2, "--gpu-memory"),
        (["./nothing-here"], 3, "no such folder"),
        (["x/y", "--environment", "nowhere"], 2, "bin/vllm"),
        (["x/y", "--set", "vlm.family=qwen9"], 2, "vlm.family"),
    ],
)
def test_what_cannot_be_served_is_said(capsys, arguments, code, words):
    assert main(["vlm", "serve", *arguments]) == code
    assert words in capsys.readouterr().err


def test_run_becomes_the_server_with_the_key_in_its_environment(monkeypatch, tmp_path, capsys):
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("VESALIUS_VLM_API_KEY", "very-secret")
    became = []
    monkeypatch.setattr(
        os, "execvpe", lambda *arguments: became.append(arguments) or (_ for _ in ()).throw(OSError(8, "no"))
    )
    assert main(["vlm", "serve", "x/y", "--environment", str(tmp_path), "--run"]) == 2
    [(file, arguments, environment)] = became
    assert file == arguments[0] == str(program)
    assert environment["VLLM_API_KEY"] == "very-secret"
    assert environment["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"
    assert "very-secret" not in " ".join(arguments)
    assert "cannot be run" in capsys.readouterr().err


def capable(request):
    """A server that does everything; its prompts are longer with images than without."""
    if "structured_outputs" in request:
        return Turn("B", logprobs=(("B", {"A": -1.0, "B": -0.5}),))
    return Turn('{"colour":"grey","round":true}') if "response_format" in request else Turn("hello")


def checked(capsys, server, *arguments):
    code = main(["vlm", "check", "--url", server.url, "--json", *arguments])
    shown = json.loads(capsys.readouterr().out)
    return code, shown["ok"], {row["check"]: row for row in shown["checks"]}


@pytest.mark.parametrize("sees", [True, False])
def test_check_tries_everything_that_answers_need(capsys, sees):
    shown = []

    def counting(request):
        images = sum(part["type"] == "image_url" for part in request["messages"][-1]["content"])
        shown.append(images)
        return replace(capable(request), prompt_tokens=10 + 64 * images * sees)

    with ChatServer(counting) as server:
        code, ok, rows = checked(capsys, server)
    assert list(rows) == ["server", "text", "image", "schema", "logprobs"]
    assert rows["logprobs"]["detail"] == "A 0.38, B 0.62"
    assert rows["image"]["detail"].startswith("family generic, 64 tokens" if sees else "the server ignored the image")
    assert (code, ok, rows["image"]["ok"]) == (0 if sees else 1, sees, sees)
    assert shown == [0, 0, 1, 1, 1]


def test_check_says_which_part_fails(capsys):
    def weak(request):
        if "structured_outputs" in request:
            return Turn("B")
        return Turn("no json" if "response_format" in request else "hello")

    with ChatServer(weak) as server:
        code, ok, rows = checked(capsys, server, "--model", "scripted")
    assert (code, ok) == (1, False)
    assert "no JSON" in rows["schema"]["detail"]
    assert "without probabilities" in rows["logprobs"]["detail"]
    assert rows["text"]["ok"]


def test_check_of_a_model_that_is_not_served(capsys):
    with ChatServer() as server:
        code, _, rows = checked(capsys, server, "--model", "other")
    assert (code, list(rows), rows["server"]["detail"]) == (1, ["server"], "serves scripted")


def test_check_without_a_server_is_an_environment_problem(capsys):
    assert main(["vlm", "check", "--url", f"http://127.0.0.1:{closed_port()}/v1"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "vesalius vlm serve" in shown.err
    assert shown.err.count("\n") == 1


def test_lines_for_a_person(capsys):
    with ChatServer(capable) as server:
        main(["vlm", "check", "--url", server.url])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok   server",
        "ok   text",
        "FAIL image",
        "ok   schema",
        "ok   logprobs",
    ]


def test_settings_become_the_clients_options():
    settings = VlmSettings(model="Lingshu-7B", api_key_env="MY_KEY", max_tokens=7, temperature=0.5, concurrency=3)
    options = chat_options(settings, {"MY_KEY": "k", "VESALIUS_VLM_API_KEY": "other"})
    assert (options.model, options.api_key, options.max_tokens, options.concurrency) == ("Lingshu-7B", "k", 7, 3)
    assert (wanted(settings, choices=("A",)).temperature, wanted(settings).max_tokens) == (0.5, 7)
    with open_chat_model(settings) as model:
        assert model.family.name == "qwen2.5-vl"
    with pytest.raises(ConfigError, match=r"vlm\.model"):
        open_chat_model(VlmSettings())
