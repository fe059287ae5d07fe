"""The documents tell the truth: code runs, links lead somewhere, commands exist."""

import re
from pathlib import Path

import pytest

from rag.cli.app import main, parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GOLDEN = Path(__file__).parent / "help"


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def test_python_of_the_readme_runs(sample_folder, capsys):
    [code] = blocks(ROOT / "README.md", "python")
    exec(compile(code.replace('"library"', repr(str(sample_folder))), "README.md", "exec"), {})
    assert "handbook" in capsys.readouterr().out


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_flags_exist(path):
    text = path.read_text("utf-8").replace("\\\n", " ")
    for line in re.findall(r"^ +vesalius (.+)$|`vesalius ([^`]+)`", text, re.MULTILINE):
        words = re.sub(r"\s#.*", "", line[0] or line[1]).split()
        known = subcommand(words)
        assert known is not None, f"{path.name}: vesalius {' '.join(words)}"
        for flag in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert flag in known._option_string_actions, f"{path.name}: {flag} of vesalius {words[0]}"


def subcommand(words):
    found = parser()
    for word in words:
        actions = [
            action for action in found._actions if hasattr(action, "choices") and isinstance(action.choices, dict)
        ]
        if not actions:
            return found
        name = word.split("|")[0]
        if name not in actions[0].choices:
            return None
        found = actions[0].choices[name]
    return found


HELP = [
    "", "demo", "models pull", "index build", "index plan", "index verify", "index export", "index import",
    "index rebuild", "search", "ask", "report", "explain", "graph paths", "eval retrieval", "eval answers",
    "eval citations", "eval reports", "eval relevance", "eval questions", "eval convert", "config show", "init",
    "doctor",
]  # fmt: skip


@pytest.mark.parametrize("command", HELP)
def test_help_is_as_agreed(command, capsys, monkeypatch):
    """Golden files under tests/docs/help: a change of the public interface shows as a diff."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    golden = GOLDEN / f"{command.replace(' ', '-') or 'vesalius'}.txt"
    assert shown == golden.read_text("utf-8")
