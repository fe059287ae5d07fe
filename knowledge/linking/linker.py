"""Text to concepts: greedy longest match of normal forms, with offsets into the text as it was given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from knowledge.linking.lexicon import lexicon as shipped_lexicon
from knowledge.linking.matching import Match, Matcher
from knowledge.linking.tables import ABBREVIATION, NAME, SYNONYM, TURNED, Rows, Tables, compile_tables
from knowledge.triples import Concept

EXACT_NAME, EXACT_SYNONYM, VARIANT, SHORT, CHOSEN_BY_DOMAIN, CHOSEN_BY_ORDER = 1.0, 0.9, 0.8, 0.7, 0.6, 0.4
"""What `Link.score` can be; see there. An order of trust by judgement, not a measured probability."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a text that names a concept: `text` is what stands at [start, end), `concept` its key.

    `candidates` are the keys of all concepts that the words may mean, best first; `concept` is the first. `score`:
    1.0 the concept's own name, letter for letter but for case; 0.9 one of its other forms; 0.8 either of them in
    another spelling, number or word order; 0.7 an abbreviation; 0.6 several concepts share the form and the domain
    decided; 0.4 several share it and only the order of namespaces decided. A form that is one concept's own name and
    another's synonym is not shared: the name wins, and the other stays a candidate.
    """

    start: int
    end: int
    text: str
    concept: str
    name: str
    score: float
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One form of one concept, ready for links. `written` is its lower case, "" where exactness means nothing."""

    key: str
    name: str
    candidates: tuple[str, ...]
    written: str
    exact: float
    other: float

    def score_of(self, span: str) -> float:
        return self.exact if span.casefold() == self.written else self.other


_Asked = tuple[str, Rows, bool, str]
"""Words as written, the rows that fit, whether they are inverted, and the domain."""
_Decision = tuple[str, str, float, tuple[str, ...]]
"""Key, name, score and candidates of a link."""
_MOST_REMEMBERED = 50_000
"""Decisions kept; then the memory starts afresh."""


class Linker:
    """Finds concepts in text.

    `concepts` are the graph's linkable ones (see `knowledge.linking.forms.linkable_keys`). `lexicon` entries add forms
    to them, or concepts of their own; None takes the one that ships with the package, () none. `namespaces` are key
    prefixes before a colon ("HP", "DOID"), most trusted first, for words that several concepts share; keys of other
    namespaces follow, by key. Threads may share a linker.
    """

    def __init__(
        self, concepts: Iterable[Concept], *, lexicon: Iterable[Concept] | None = None, namespaces: Sequence[str] = ()
    ) -> None:
        self._use(compile_tables(concepts, shipped_lexicon() if lexicon is None else lexicon), namespaces)

    @classmethod
    def of_tables(cls, tables: Tables, namespaces: Sequence[str] = ()) -> Linker:
        """A linker over tables that were compiled before."""
        linker = cls.__new__(cls)
        linker._use(tables, namespaces)
        return linker

    def _use(self, tables: Tables, namespaces: Sequence[str]) -> None:
        self.tables = tables
        self._matcher = Matcher(tables)
        self._entries: dict[int, _Entry] = {}
        self._decided: dict[_Asked, _Decision] = {}
        self._differing: dict[Rows, bool] = {}
        self._namespaces = {name.casefold(): place for place, name in enumerate(namespaces)}

    def __len__(self) -> int:
        """How many concepts can be linked to."""
        return len(self.tables.keys)

    def link(self, text: str, domain: str = "") -> tuple[Link, ...]:
        """The concepts named in `text`, in order, none overlapping another.

        `domain` ("radiology", "pathology", "ophthalmology", "dermatology") ranks the readings of a form that several
        concepts share; without one, the domain that most other links of the text have. Time is linear in the text.
        """
        matches = self._matcher.matches(text)
        if not domain:
            for _, _, rows, _ in matches:
                if len(rows) > 1 and self._domains_differ(rows):
                    domain = self._likely_domain(matches)
                    break
        return tuple([self._link(text, match, domain) for match in matches])

    def _link(self, text: str, match: Match, domain: str) -> Link:
        start, end, rows, inverted = match
        span = text[start:end]
        if len(rows) > 1:
            asked = (span, rows, inverted, domain)
            key, name, score, candidates = self._decided.get(asked) or self._decide(asked)
            return Link(start, end, span, key, name, score, candidates)
        entry = self._entries.get(rows[0]) or self._entry(rows[0])
        score = VARIANT if inverted else entry.score_of(span)
        return Link(start, end, span, entry.key, entry.name, score, entry.candidates)

    def _decide(self, asked: _Asked) -> _Decision:
        """The best reading of a form that several concepts have."""
        span, rows, inverted, domain = asked
        ranked = self._ranked(span, rows, domain)
        entries = [self._entry(row) for row in ranked]
        best = entries[0]
        if self._is_shared(ranked):
            in_domain = domain and self.tables.domains[self.tables.row_concepts[ranked[0]]] == domain
            score = CHOSEN_BY_DOMAIN if in_domain else CHOSEN_BY_ORDER
        else:
            score = VARIANT if inverted else best.score_of(span)
        if len(self._decided) >= _MOST_REMEMBERED:
            self._decided.clear()
        candidates = tuple(dict.fromkeys(entry.key for entry in entries))
        decision = self._decided[asked] = (best.key, best.name, score, candidates)
        return decision

    def _domains_differ(self, rows: Rows) -> bool:
        """Whether knowing the domain could change which of the rows comes first."""
        differ = self._differing.get(rows)
        if differ is None:
            tables = self.tables
            differ = len({tables.domains[tables.row_concepts[row]] for row in rows}) > 1
            self._differing[rows] = differ
        return differ

    def _entry(self, row: int) -> _Entry:
        tables = self.tables
        number, kind = tables.row_concepts[row], tables.row_kinds[row]
        written = "" if kind in (TURNED, ABBREVIATION) else tables.row_forms[row].casefold()
        exact = {NAME: EXACT_NAME, SYNONYM: EXACT_SYNONYM, ABBREVIATION: SHORT}.get(kind, VARIANT)
        other = SHORT if kind == ABBREVIATION else VARIANT
        key = tables.keys[number]
        entry = self._entries[row] = _Entry(key, tables.names[number], (key,), written, exact, other)
        return entry

    def _ranked(self, span: str, rows: Sequence[int], domain: str) -> list[int]:
        """Rows, best first: of the domain, a name before a synonym, written so, of a trusted namespace, by key."""
        tables, written = self.tables, span.casefold()

        def rank(row: int) -> tuple[bool, int, bool, int, str]:
            number = tables.row_concepts[row]
            key = tables.keys[number]
            prefix, colon, _ = key.partition(":")
            place = self._namespaces.get(prefix.casefold() if colon else "", len(self._namespaces))
            elsewhere = bool(domain) and tables.domains[number] != domain
            return elsewhere, tables.row_kinds[row], tables.row_forms[row].casefold() != written, place, key

        return sorted(rows, key=rank)

    def _is_shared(self, ranked: Sequence[int]) -> bool:
        """Whether the form may mean several things. Concepts that are named alike in one domain are one thing."""
        tables = self.tables
        if tables.row_concepts[ranked[0]] == tables.row_concepts[ranked[-1]]:
            return False
        named = [row for row in ranked if tables.row_kinds[row] == NAME]
        domains = {tables.domains[tables.row_concepts[row]] for row in named} - {""}
        return not (named and named[0] == ranked[0] and len(domains) <= 1)

    def _likely_domain(self, matches: Sequence[Match]) -> str:
        """The domain of most links that are not ambiguous; "" when there is none or two lead."""
        domains, concepts = self.tables.domains, self.tables.row_concepts
        votes: dict[str, int] = {}
        for _, _, rows, _ in matches:
            if len(rows) == 1 and (domain := domains[concepts[rows[0]]]):
                votes[domain] = votes.get(domain, 0) + 1
        most = max(votes.values(), default=0)
        leading = [domain for domain, count in votes.items() if count == most]
        return leading[0] if len(leading) == 1 else ""
