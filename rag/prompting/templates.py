"""Prompt files: one TOML per task beside this module, with a version that is raised when its words change.

Each has three texts. `system` and `references` come before the passages, `task` after them, so that a server which
keeps prefixes reuses all but the question. In them `$n`, `$mark`, `$question`, `$options` and `$most` are filled in.
The warnings that references are for comparison only follow MMed-RAG (https://arxiv.org/abs/2410.13085) and TemMed-Bench
(https://arxiv.org/abs/2509.25143); the words are our own.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rag.errors import UsageError
from rag.types import Query

PROMPTS = ("vqa-open", "vqa-closed", "vqa-choice", "report", "explanation", "comparison")
"""The names of the prompt files."""

_VERDICTS = frozenset({"yes", "no", "true", "false", "correct", "incorrect"})
_CLOSED = re.compile(
    r"^\W*(?:is|are|was|were|do|does|did|can|could|should|will|would|has|have|had)\b(?!.*\bor\b)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt file. `sections` are the lists of statements that a reply has, in order."""

    name: str
    version: int
    sections: tuple[str, ...]
    system: str
    references: str
    task: str

    @property
    def title(self) -> str:
        """Name and version, as traces and runs note them."""
        return f"{self.name}-{self.version}"


@cache
def load_template(name: str) -> PromptTemplate:
    """A prompt file by its name. Raises UsageError for an unknown one."""
    if name not in PROMPTS:
        raise UsageError(f"there is no prompt {name!r}; prompts are {', '.join(PROMPTS)}")
    data = tomllib.loads(files("rag.prompting").joinpath(f"prompts/{name}.toml").read_text(encoding="utf-8"))
    texts = {part: str(data[part]).strip() for part in ("system", "references", "task")}
    return PromptTemplate(name, int(data["version"]), tuple(data["sections"]), **texts)


def template_for(query: Query) -> PromptTemplate:
    """The prompt that a question needs: choice, closed (yes or no), or open."""
    if query.options:
        verdicts = {option.strip().lower().rstrip(".") for option in query.options}
        return load_template("vqa-closed" if len(query.options) == 2 and verdicts <= _VERDICTS else "vqa-choice")
    return load_template("vqa-closed" if _CLOSED.match(query.text) else "vqa-open")
