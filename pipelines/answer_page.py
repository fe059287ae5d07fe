"""An answer as one self-contained HTML page: question, answer with numbered marks, and every source shown.

The page loads nothing and runs nothing: images are inlined, style is in the template, a content security policy forbids
the rest. All text from questions, sources and models is escaped; it is material, never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from pipelines.answer_cards import PageImages, source_card
from pipelines.inline_images import data_uri
from rag.grounding.ground import DISCLAIMER
from rag.types import Answer, Citation, Claim, Query


def render_answer_page(query: Query, answer: Answer, page_images: PageImages) -> str:
    """The page of one answer. `page_images` gives the rendered page of a cited page or figure, or None."""
    template = Template(files("pipelines").joinpath("templates/answer_page.html").read_text(encoding="utf-8"))
    question = query.text.strip() or "What does this image show?"
    return template.substitute(
        title=escape(question[:120]),
        question=escape(question),
        asked=_asked(query),
        options=_options(query, answer),
        banner=_banner(answer),
        claims="\n".join(_claim(claim) for claim in answer.claims),
        sources=_sources(answer.citations, page_images),
        disclaimer=escape(DISCLAIMER),
        details=_details(answer),
    )


def _asked(query: Query) -> str:
    shown = [*_figures(query.images, "Image asked about"), *_figures(query.prior_images, "Prior image")]
    return f'<div class="asked">{"".join(shown)}</div>' if shown else ""


def _figures(paths: Sequence[Path], caption: str) -> list[str]:
    uris = [data_uri(path, 900) for path in paths]
    return [
        f'<figure><img src="{uri}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
        if uri
        else f'<p class="missing">{escape(caption)}: {escape(path.name)} could not be shown.</p>'
        for uri, path in zip(uris, paths, strict=True)
    ]


def _options(query: Query, answer: Answer) -> str:
    rows = []
    for i, option in enumerate(query.options):
        letter = chr(ord("A") + i)
        chosen = ' class="chosen"' if letter == answer.choice else ""
        rows.append(f'<li{chosen} dir="auto"><b>{letter}</b>{escape(option)}</li>')
    return f'<ul class="options">{"".join(rows)}</ul>' if rows else ""


def _banner(answer: Answer) -> str:
    if answer.abstained:
        return f'<div class="banner abstained" role="status"><b>No answer.</b> {escape(answer.reason or "")}</div>'
    percent = 100 * min(1.0, max(0.0, answer.confidence))
    return (
        f'<div class="banner"><span>Confidence {answer.confidence:.2f}</span>'
        f'<span class="bar"><i style="width:{percent:.0f}%"></i></span></div>'
    )


def _claim(claim: Claim) -> str:
    marks = "".join(f'<a class="mark" href="#source-{n}">{n}</a>' for n in claim.citations)
    chips = "".join(
        f'<span class="{"pass" if passed else "fail"}">{escape(name)}</span>' for name, passed in claim.checks.items()
    )
    return (
        f'<div class="claim"><p dir="auto">{escape(claim.text)}{marks}</p>'
        f'<div class="chips"><span>support {claim.support:.2f}</span>{chips}</div></div>'
    )


def _sources(citations: Sequence[Citation], page_images: PageImages) -> str:
    """One card per passage, in the order of its first citation."""
    by_passage: dict[str, list[Citation]] = {}
    for citation in citations:
        by_passage.setdefault(citation.passage.id, []).append(citation)
    cards = [source_card(group, page_images) for group in by_passage.values()]
    return "\n".join(["<h2>Sources</h2>", *cards]) if cards else ""


def _details(answer: Answer) -> str:
    seconds = " · ".join(f"{stage} {value:.2f} s" for stage, value in answer.seconds.items())
    parts = [f"question {answer.id}", f"outcome: {answer.stop_reason.replace('_', ' ')}", seconds]
    return " · ".join(escape(part) for part in parts if part)
