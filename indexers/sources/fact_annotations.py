"""HPO annotations, phenotype.hpoa: which disease has which phenotype, and which it has not.

The columns are described at https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from indexers.sources.fact_obo import Terms, read_terms
from indexers.sources.fact_rows import Origin, Row, Triple, fact_row, license_beside, noted, version_in_name
from indexers.sources.fact_tables import Cells, Header, filled_lines, read_cells, read_header

_ASPECTS = MappingProxyType(
    {
        "P": "has_phenotype",
        "I": "inheritance",
        "C": "clinical_course",
        "M": "clinical_modifier",
        "H": "past_medical_history",
    }
)
_EXCLUDED = "HP:0040285"
"""The frequency "excluded": none of the patients has it."""
_NONE_OF = re.compile(r"0(?:/\d+|(?:\.0+)?%)")
_MOST_COMMENTS = 50


class _Annotation(NamedTuple):
    """One line. `absent`: the source says NOT. `none_seen`: of the patients counted none had it."""

    line: int
    disease: str
    name: str
    phenotype: str
    aspect: str
    absent: bool
    none_seen: bool
    details: tuple[tuple[str, str], ...]


def is_annotation_header(header: Header) -> bool:
    """Whether a table is an HPO annotation file, of today's form or the one before 2023."""
    return {"databaseid", "diseasename", "hpoid"} <= set(_plain(header).names)


def ontology_beside(path: Path) -> Path | None:
    """The ontology in the same folder that names the phenotypes: hp.obo, plain or gzipped."""
    return next((found for name in ("hp.obo", "hp.obo.gz") if (found := path.parent / name).is_file()), None)


def annotation_rows(path: Path) -> Iterator[Row]:
    """One fact per disease, phenotype and polarity, with references and frequencies of all lines that state it.

    Lines of one disease stand together in the file; where they do not, a fact is given once more. NOT, or the frequency
    "excluded", makes a fact absent. A count of 0 out of n makes it absent as well, unless another line of the disease
    says that it occurs. Without an ontology a phenotype keeps its id as name, and the fact says so in `note`.
    """
    header = _plain(read_header(path))
    ontology = ontology_beside(path)
    terms = read_terms(ontology) if ontology else Terms()
    origin = _origin(path, terms)
    for group in _by_disease(read_cells(path, header)):
        yield from (Row(cells.line, problem=cells.problem) for cells in group if cells.problem)
        found = [_annotation(cells, terms) for cells in group if not cells.problem]
        yield from _facts_of_disease(found, terms, origin)


def _by_disease(lines: Iterator[Cells]) -> Iterator[list[Cells]]:
    """Lines of one disease that stand together; a bad line between them parts nothing."""
    group: list[Cells] = []
    disease = ""
    for cells in lines:
        found = disease if cells.problem else cells.values["databaseid"]
        if group and found != disease:
            yield group
            group = []
        disease = found
        group.append(cells)
    if group:
        yield group


def _plain(header: Header) -> Header:
    return header._replace(names=tuple(name.replace("_", "") for name in header.names))


def _origin(path: Path, terms: Terms) -> Origin:
    version = ""
    for line in filled_lines(path):
        if not line.text.startswith("#") or line.number > _MOST_COMMENTS:
            break
        name, _, value = line.text.lstrip("#").partition(":")
        if name.strip().lower() in {"version", "date"}:
            version = version or value.strip()
    license_text = terms.origin.license or license_beside(path)
    return Origin("hpo_annotations", license_text, version or version_in_name(path))


def _annotation(cells: Cells, terms: Terms) -> _Annotation:
    values = cells.values
    frequency = values.get("frequency", "")
    details = (
        ("frequency", terms.name(frequency) or frequency),
        ("onset", terms.name(values.get("onset", "")) or values.get("onset", "")),
        ("sex", values.get("sex", "").lower()),
        ("modifier", "; ".join(terms.name(each) or each for each in values.get("modifier", "").split(";"))),
        ("reference", values.get("reference", "")),
        ("evidence", values.get("evidence", "")),
    )
    return _Annotation(
        cells.line,
        values["databaseid"],
        values["diseasename"],
        terms.current_id(values["hpoid"]),
        values.get("aspect", "") or "P",
        values.get("qualifier", "").upper() == "NOT" or frequency == _EXCLUDED,
        bool(_NONE_OF.fullmatch(frequency)),
        details,
    )


def _facts_of_disease(annotations: Sequence[_Annotation], terms: Terms, origin: Origin) -> Iterator[Row]:
    seen = {(each.phenotype, each.aspect) for each in annotations if not each.absent and not each.none_seen}
    facts: dict[tuple[str, str, bool], list[_Annotation]] = {}
    for each in annotations:
        absent = each.absent or (each.none_seen and (each.phenotype, each.aspect) not in seen)
        facts.setdefault((each.phenotype, each.aspect, absent), []).append(each)
    for (phenotype, aspect, absent), lines in facts.items():
        first = lines[0]
        name = terms.name(phenotype)
        relation = _ASPECTS.get(aspect)
        if relation is None:
            yield Row(first.line, problem=f"aspect {aspect!r} is none of {', '.join(sorted(_ASPECTS))}")
            continue
        triple = Triple(first.name, relation, name or phenotype, "absent" if absent else "present")
        notes = noted(
            ("head_id", first.disease),
            ("tail_id", phenotype),
            ("note", "" if name else "the phenotype's name is not known: no hp.obo beside the file holds its id"),
            *_merged(lines),
        )
        yield fact_row(first.line, triple, origin, notes)


def _merged(lines: Sequence[_Annotation]) -> list[tuple[str, str]]:
    """Each detail with the values of all lines, each once, in their order."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        for name, value in line.details:
            if value:
                found.setdefault(name, {})[value] = None
    return [(name, "; ".join(values)) for name, values in found.items()]
