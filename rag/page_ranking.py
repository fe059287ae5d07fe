"""How pages are ranked: what their text says, then what lifts them: a definition, a figure, a section.

    base(p)  = z( sum over text channels of weight * z(channel) )
    score(p) = base(p)
             + 2 * v * relu(z(best figure on p) - 1)
             + (1 - v) * (1 - question / 2) * relu(z(best key-term sentence on p) - 1.5)
             + max over pages p' of p's section of base(p')

with v how far the query is worded as a picture's description, and question whether it asks. z is the standard score
within the list that a channel returned, so nothing depends on the size of the library. A page without figures, key
terms or sections keeps its base. Weights and thresholds were read off development queries, where each lies on a
plateau (a factor of 0.7 to 1.5 keeps every gain); docs/retrieval.md has the table and its limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rag.fusion import by_score, list_scores, merged, standard_score_sum
from rag.types import Hit, Passage, Query
from rag.wording import is_question, visual_wording

TERMS = "terms"
FIGURE = "figure"
"""Names under which a page's hit shows its key-term sentence and its figure."""
_SECTION_LEVELS = 2
"""Chapter and section: deeper headings hold less than a page, higher ones the whole book."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Weights of the lifts, and the standard score above which each begins."""

    figure_weight: float = 2.0
    figure_from: float = 1.0
    terms_weight: float = 1.0
    terms_from: float = 1.5
    section_weight: float = 1.0
    question_share: float = 0.5


def rank_pages(
    query: Query, lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], options: PageOptions
) -> list[Hit]:
    """Pages from the channels' lists, best first. `lists` may hold "terms", and "figure": pages by their figures.

    A page that a channel did not return counts as the last of that channel's list.
    """
    hits = merged(lists)
    # An image without words has no text list: then its figures alone say which page is nearer.
    text = {name: found for name, found in lists.items() if name not in (TERMS, FIGURE)} or dict(lists)
    base = standard_score_sum(hits, text, weights)
    visual = 1.0 if query.images else visual_wording(query.text)
    asks = options.question_share if is_question(query.text) else 0.0
    figure = list_scores(lists.get(FIGURE, ()))
    terms = list_scores(lists.get(TERMS, ()))
    best_of_section: dict[tuple[str, ...], float] = {}
    for key, hit in hits.items():
        section = _section(hit.passage)
        best_of_section[section] = max(best_of_section.get(section, base[key]), base[key])
    scored = []
    for key, hit in hits.items():
        lift = options.figure_weight * visual * _above(figure.get(key), options.figure_from)
        lift += options.terms_weight * (1 - visual) * (1 - asks) * _above(terms.get(key), options.terms_from)
        lift += options.section_weight * best_of_section[_section(hit.passage)]
        scored.append(replace(hit, score=base[key] + lift))
    return by_score(scored)


def _above(score: float | None, threshold: float) -> float:
    return 0.0 if score is None else max(0.0, score - threshold)


def _section(passage: Passage) -> tuple[str, ...]:
    """The section as a whole; a page of a book without headings is a section of its own."""
    path = passage.section[:_SECTION_LEVELS]
    return (passage.document, *path) if path else (passage.document, passage.id)
