"""Published benchmarks and own question files as one kind of record. See docs/metrics.md."""

from eval.items.formats import FORMATS, detect_formats, load_items
from eval.items.item import CorpusRecord, GoldEvidence, Item, ItemImage, Region
from eval.items.loading import ItemSet, LoadOptions
from eval.items.own import write_items

__all__ = [
    "FORMATS", "CorpusRecord", "GoldEvidence", "Item", "ItemImage", "ItemSet", "LoadOptions", "Region",
    "detect_formats", "load_items", "write_items",
]  # fmt: skip
