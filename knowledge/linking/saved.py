"""Compiled tables on disk, so that a saved graph need not be compiled again to be linked to."""

from __future__ import annotations

import json
from array import array
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from knowledge.linking.tables import Tables
from rag.errors import SourceError

_MAKERS = ("words.py", "forms.py", "tables.py", "lexicon.py", "lexicon.toml", "stop_words.toml")
"""Files of the package that decide what the tables hold: when one changes, saved tables are refused."""


def save_tables(tables: Tables, path: Path) -> None:
    """Write tables as one JSON document. The file is replaced only when it is whole."""
    document = {
        "version": _version(),
        "keys": tables.keys,
        "names": tables.names,
        "domains": tables.domains,
        "row_concepts": list(tables.row_concepts),
        "row_kinds": list(tables.row_kinds),
        "row_forms": tables.row_forms,
        "forms": tables.forms,
        "cased": tables.cased,
        "openings": tables.openings,
        "vocabulary": sorted(tables.vocabulary),
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    partial.replace(path)


def load_tables(path: Path) -> Tables:
    """Read tables that `save_tables` wrote.

    Raises:
        SourceError: the file is missing, damaged, or of another version; compile the tables again.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["version"]
        tables = _tables(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SourceError(f"{path}: linker tables cannot be read ({error}); build them again") from error
    if version != _version():
        raise SourceError(f"{path}: these linker tables were made by another release; build them again")
    return tables


@cache
def _version() -> str:
    digest = sha256()
    for name in _MAKERS:
        digest.update(files("knowledge.linking").joinpath(name).read_bytes())
    return digest.hexdigest()


def _tables(document: dict[str, Any]) -> Tables:
    return Tables(
        keys=document["keys"],
        names=document["names"],
        domains=document["domains"],
        row_concepts=array("I", document["row_concepts"]),
        row_kinds=bytearray(document["row_kinds"]),
        row_forms=document["row_forms"],
        forms={key: tuple(rows) for key, rows in document["forms"].items()},
        cased={key: tuple(rows) for key, rows in document["cased"].items()},
        openings=document["openings"],
        vocabulary=set(document["vocabulary"]),
    )
