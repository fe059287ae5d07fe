"""Tables whose columns say what they mean by themselves: glossaries, indications of drugs, and facets of diseases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from indexers.sources.characters import clean
from indexers.sources.fact_rows import Origin, Row, Triple, fact_row, license_beside, noted, version_in_name
from indexers.sources.fact_tables import Header, filled_lines, read_cells, read_header

INDICATION_COLUMNS = ("disease", "drug", "category")
FACET_COLUMNS = ("?id", "?name", "?definition", "?facet", "?import_keyword", "?import_id")
_CATEGORIES = MappingProxyType(
    {"DM": "disease_modifying_treatment_of", "SYM": "symptomatic_treatment_of", "NOT": "not_indicated_for"}
)
_MEANINGS = ("definition", "meaning")
_MORE_NAMES = ("synonyms", "synonym")
_FACETS = MappingProxyType(
    {
        "anatomy": "anatomical_site", "cell_type": "affected_cell_type", "chebi": "involved_substance",
        "disease_driver": "caused_by", "food_material": "involved_food", "inheritance_pattern": "inheritance",
        "ncbitaxon": "involved_organism", "omim_susceptibility": "susceptibility", "onset": "onset",
        "phenotype": "has_phenotype", "sequence": "genetic_basis", "symptom": "has_symptom",
        "transmission_process": "transmitted_by",
    }
)  # fmt: skip
"""What each facet says of a disease. The facet "evidence" tells how the table was made, not what is true: left out."""
SAID_OF_ALL, FEW_DISEASES = 0.9, 20
"""A value that this share of a facet's diseases have is the root of its branch ("anatomical structure"), and says
nothing of any of them. With fewer diseases than FEW_DISEASES a share says little, and every value is kept."""


def is_glossary_header(header: Header) -> bool:
    """Whether a table has the columns term and definition (or meaning)."""
    return header.has("term") and any(header.has(name) for name in _MEANINGS)


def glossary_rows(path: Path) -> Iterator[Row]:
    """Definitions of a glossary. Without a header: term, definition and, as a third column, where it is from."""
    header = read_header(path)
    if not is_glossary_header(header):
        names = ("term", "definition", "source")[: len(header.names)]
        header = header._replace(number=0, names=names)
    meaning = next(name for name in _MEANINGS if header.has(name))
    own_license = license_beside(path)
    for line, cells, problem in read_cells(path, header):
        if problem:
            yield Row(line, problem=problem)
            continue
        origin = Origin(
            cells.get("source", ""), cells.get("license") or own_license, cells.get("version", ""), "textbook"
        )
        yield fact_row(line, Triple(cells["term"], "definition", cells[meaning]), origin)
        for name in _other_names(cells):
            yield fact_row(line, Triple(cells["term"], "synonym", name), origin)


def _other_names(cells: Mapping[str, str]) -> list[str]:
    names = next((cells[column] for column in _MORE_NAMES if column in cells), "")
    return [name.strip() for name in names.split("|") if name.strip() not in {"", cells["term"]}]


def looks_like_glossary(path: Path) -> bool:
    """Whether a file without a header is a glossary: its name says so, and it has two or three columns."""
    if "glossary" not in path.name.lower():
        return False
    first = next(filled_lines(path), None)
    return first is not None and 1 <= clean(first.text).count("\t") <= 2


def indication_rows(path: Path) -> Iterator[Row]:
    """Drugs and what they are for. DM changes the course of the disease, SYM eases it, NOT is no indication."""
    origin = Origin("indications", license_beside(path), version_in_name(path))
    for line, cells, problem in read_cells(path, read_header(path)):
        category = cells.get("category", "").upper()
        if problem or category not in _CATEGORIES:
            yield Row(line, problem=problem or f"category {category!r} is none of {', '.join(sorted(_CATEGORIES))}")
            continue
        triple = Triple(cells["drug"], _CATEGORIES[category], cells["disease"])
        ids = noted(("head_id", cells.get("drugbank_id", "")), ("tail_id", cells.get("doid_id", "")))
        yield fact_row(line, triple, origin, ids)


def facet_rows(path: Path) -> Iterator[Row]:
    """Facets of diseases, and each disease's definition once."""
    header = read_header(path)
    origin = Origin("disease_ontology", license_beside(path), version_in_name(path))
    empty = _empty_values(path, header)
    defined: set[str] = set()
    for line, cells, problem in read_cells(path, header):
        if problem:
            yield Row(line, problem=problem)
            continue
        disease, name, definition, facet, value, value_id = (cells[column] for column in FACET_COLUMNS)
        head_id = noted(("head_id", disease))
        if disease not in defined and definition:
            yield fact_row(line, Triple(name, "definition", definition), origin, head_id)
        defined.add(disease)
        if facet != "evidence" and (facet, value) not in empty:
            ids = (*head_id, *noted(("tail_id", value_id)))
            yield fact_row(line, Triple(name, _FACETS.get(facet, facet), value), origin, ids)


def _empty_values(path: Path, header: Header) -> frozenset[tuple[str, str]]:
    """The values that nearly all diseases of their facet have."""
    of_facet: dict[str, set[str]] = defaultdict(set)
    of_value: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _, cells, problem in read_cells(path, header):
        if not problem:
            facet, value, disease = cells["?facet"], cells["?import_keyword"], cells["?id"]
            of_facet[facet].add(disease)
            of_value[facet, value].add(disease)
    return frozenset(
        key
        for key, diseases in of_value.items()
        if len(of_facet[key[0]]) >= FEW_DISEASES and len(diseases) >= SAID_OF_ALL * len(of_facet[key[0]])
    )
