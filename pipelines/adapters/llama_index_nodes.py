"""Passages as nodes and documents of llama-index.

A node is one passage: its id is the passage's id, its text the passage's text, and its hash the passage's as well.
llama-index fuses lists by hash, and the hash of its own nodes is made of their content: two passages of equal text
would become one, and one passage found by two queries would stay two, because its ranks differ.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.chat import ImagePart
from rag.errors import MissingExtra, QueryError
from rag.generators.vllm_messages import plain
from rag.prompting.instructions import visible
from rag.rows import box_to_list, hit_to_row
from rag.types import Answer, FactLocator, Hit, Passage

try:
    from llama_index.core.base.llms.types import ImageBlock, TextBlock
    from llama_index.core.schema import (
        Document,
        ImageNode,
        MediaResource,
        MetadataMode,
        NodeRelationship,
        NodeWithScore,
        RelatedNodeInfo,
        TextNode,
    )
except ImportError as error:
    raise MissingExtra("llama-index", feature="passages as nodes of llama-index") from error

_SHOWN = ("kind", "document", "page", "record", "section", "polarity", "change", "note")
"""Metadata that a model or an embedder reads before the text; the rest is for programs."""
_META = ("domain", "modality", "source", "license", "view")
_PIXELS = 1_000_000
"""Of a picture shown to a model, as Qwen2.5-VL takes it (docs/serve-a-model.md)."""


class PassageNode(TextNode):  # type: ignore[misc]  # llama-index is not type-checked
    """A passage. `pictures` are its image files, none for a page or a fact that has text."""

    pictures: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """The passage's id, which is made of its content and its place."""
        return str(self.id_)

    def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
        """The passage's text, exact; for a model with its place, and without what it could read as a control token."""
        text = str(super().get_content(metadata_mode))
        return defused(text) if metadata_mode == MetadataMode.LLM else text

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.LLM) -> list[Any]:
        """Text and pictures for a chat message; pictures are decoded and encoded anew, so metadata stay here."""
        text = self.get_content(metadata_mode)
        blocks = [TextBlock(text=text)] if text.strip() else []
        return [*blocks, *(_picture_block(Path(picture)) for picture in self.pictures)]


class PassageImageNode(PassageNode, ImageNode):  # type: ignore[misc]  # llama-index is not type-checked
    """A figure or a case with its pictures. `image_path` is the first."""


def hit_node(hit: Hit, rank: int, **metadata: object) -> NodeWithScore:
    """A hit as a node; its metadata are the fields of a search row (`search --json`), those that apply.

    `rank` counts from 1; further metadata are added as they are.
    """
    row = hit_to_row(hit, rank)
    known = {name: row[name] for name in ("rank", "channels")}
    return NodeWithScore(node=passage_node(hit.passage, **known, **metadata), score=hit.score)


def passage_node(passage: Passage, **metadata: object) -> PassageNode:
    """A passage as a node: with pictures when it is a figure or a case, or has no text."""
    fields = _fields(passage, {**_metadata(passage), **metadata})
    fields["relationships"] = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.document)}
    if passage.images and (passage.kind in ("figure", "case") or not passage.text.strip()):
        pictures = tuple(map(str, passage.images))
        return PassageImageNode(text=passage.text, image_path=pictures[0], pictures=pictures, **fields)
    return PassageNode(text=passage.text, **fields)


def passage_document(passage: Passage) -> Document:
    """A passage as a document. Vector stores take flat metadata only: boxes and facts are JSON texts here."""
    flat = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
        for name, value in _metadata(passage).items()
    }
    image = MediaResource(path=passage.images[0]) if passage.images else None
    return Document(text_resource=MediaResource(text=passage.text), image_resource=image, **_fields(passage, flat))


def cited_nodes(answer: Answer) -> list[NodeWithScore]:
    """The cited passages in order of their numbers, each with its citations in its metadata."""
    hits = {hit.passage.id: hit for hit in answer.evidence.hits}
    ranks = {passage_id: rank for rank, passage_id in enumerate(hits, start=1)}
    quoted: dict[str, list[dict[str, Any]]] = {}
    for citation in answer.citations:
        row = {"n": citation.n, "quote": citation.quote, "box": box_to_list(citation.box)}
        quoted.setdefault(citation.passage.id, []).append(row)
    return [hit_node(hits[key], ranks[key], citations=rows) for key, rows in quoted.items()]


def defused(text: str) -> str:
    """The text without unseen characters, and with a blank in what a tokenizer could read as the end of a turn."""
    return plain(visible(text))


def _metadata(passage: Passage) -> dict[str, Any]:
    """The fields of a search row that belong to the passage, those that apply."""
    locator = passage.locator
    found: dict[str, Any] = {
        "passage_id": passage.id, "kind": passage.kind, "document": passage.document, "page": passage.page,
        "record": passage.record, "fact": list(passage.fact) if passage.fact else None,
        "box": box_to_list(passage.box), "section": " > ".join(passage.section) or None,
    }  # fmt: skip
    if isinstance(locator, FactLocator):
        found |= {"polarity": locator.polarity, "change": None if locator.change == "none" else locator.change}
    found |= {name: passage.meta.get(name) for name in _META}
    return {name: value for name, value in found.items() if value is not None}


def _fields(passage: Passage, metadata: Mapping[str, object]) -> dict[str, Any]:
    """What nodes and documents of a passage have in common."""
    hidden = sorted(name for name in metadata if name not in _SHOWN)
    return {
        "id_": passage.id, "metadata": dict(metadata), "excluded_llm_metadata_keys": hidden,
        "excluded_embed_metadata_keys": hidden,
    }  # fmt: skip


def _picture_block(path: Path) -> Any:  # noqa: ANN401 - llama-index is not type-checked
    from rag.generators.vllm_images import data_uri

    try:
        head, _, body = data_uri(ImagePart(path), _PIXELS).partition(",")
    except QueryError as error:
        # A passage that lost its picture still has its text.
        return TextBlock(text=f"(the picture cannot be shown: {error})")
    kind = head.removeprefix("data:").removesuffix(";base64")
    return ImageBlock(image=base64.b64decode(body), image_mimetype=kind)
