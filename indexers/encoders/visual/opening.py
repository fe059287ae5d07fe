"""Opening the encoder of page images that the options name, and planning with it before any weight is loaded."""

from __future__ import annotations

from pathlib import Path

from indexers.devices import DeviceEncoder
from indexers.encoders.visual.checkpoint import Checkpoint, open_checkpoint
from indexers.encoders.visual.colpali import ColpaliEngine
from indexers.encoders.visual.grids import PageLayout, read_layout
from indexers.encoders.visual.local import LocalVisualEncoder, MultiVectorLibrary
from indexers.encoders.visual.models import ModelSpec, detect, dimensions
from indexers.encoders.visual.options import VisualOptions
from indexers.encoders.visual.sentence_multivector import SentenceMultiVector
from indexers.encoders.visual.vllm_pooling import VllmVisualEncoder
from indexers.encoders.visual.weight_names import projection_rows
from rag.errors import ConfigError


def open_visual(options: VisualOptions) -> DeviceEncoder:
    """The encoder for these options. Cheap: reads configuration files, loads neither torch nor weights.

    Raises:
        ConfigError: the checkpoint is incomplete, of no known family, or does not fit the options.
        EnvironmentProblem: a hub model is not in the cache and cannot be fetched.
    """
    if options.library == "vllm":
        return VllmVisualEncoder(options, _known_page(options))
    checkpoint, spec, layout = describe(options)
    library: MultiVectorLibrary = (
        ColpaliEngine(checkpoint, spec) if spec.library == "colpali-engine" else SentenceMultiVector(checkpoint, spec)
    )
    return LocalVisualEncoder(library, checkpoint, layout, dimensions(spec, checkpoint.config), options)


def describe(options: VisualOptions) -> tuple[Checkpoint, ModelSpec, PageLayout]:
    """The checkpoint, its family, and how it cuts a page with `max_patches` applied. Raises as `open_visual`."""
    if options.library == "vllm" and not Path(options.model).expanduser().is_dir():
        raise ConfigError(
            f"visual.model = {options.model} is a served model's name, and no checkpoint that can be read here"
        )
    checkpoint = open_checkpoint(options.model, options.revision)
    spec = detect(checkpoint.config, checkpoint.name, options.library)
    if options.library != "vllm":
        _check_projection(checkpoint, spec)
    layout = read_layout(spec.layout, checkpoint.config, checkpoint.processor, checkpoint.name)
    return checkpoint, spec, layout.limited(options.max_patches) if options.max_patches else layout


def _check_projection(checkpoint: Checkpoint, spec: ModelSpec) -> None:
    """A plain chat model has no layer that makes rows; the libraries would make one up at random, without an error."""
    places = [place for place in (checkpoint.folder, checkpoint.base) if place is not None]
    found = [rows for place in places if (rows := projection_rows(place, spec.projection)) is not None]
    if not found:
        raise ConfigError(
            f"visual.model {checkpoint.name}: its weights have no layer {spec.projection}, so it is no {spec.family} "
            f"page encoder; {spec.model_id or 'a retrieval checkpoint of this family'} has one"
        )
    if found[0] != dimensions(spec, checkpoint.config):
        raise ConfigError(
            f"visual.model {checkpoint.name}: its rows have {found[0]} dimensions, but {spec.library} loads "
            f"{spec.family} with {dimensions(spec, checkpoint.config)}"
        )


def _known_page(options: VisualOptions) -> PageLayout | None:
    """How a served model cuts a page, when its checkpoint's folder can be read here; tiles are not supported there."""
    if not Path(options.model).expanduser().is_dir():
        if options.max_patches:
            raise ConfigError(
                "visual.max_patches with visual.library = vllm needs visual.model to be the checkpoint's folder; "
                "or limit the pictures where the server is started (--mm-processor-kwargs)"
            )
        return None
    _, spec, layout = describe(options)
    return None if spec.layout == "tiled" else layout


def expected_rows(options: VisualOptions, page_size_points: tuple[float, float], dpi: float) -> int:
    """Stored rows of a page of this size, rendered at `dpi`: patches and prompt tokens, after token pooling.

    Exact where the folder has a tokenizer.json, else a few rows too many. Loads no weights.

    Raises:
        ConfigError: as `open_visual`; for a vLLM model whose checkpoint cannot be read here.
    """
    checkpoint, spec, layout = describe(options)
    width, height = (max(1, round(side * dpi / 72)) for side in page_size_points)
    patches = len(layout.grid(width, height))
    rows = patches + prompt_rows(checkpoint, spec, layout.tiles(width, height))
    return max(1, rows // options.pool_factor) if options.pool_factor > 1 else rows


def most_rows(options: VisualOptions) -> int:
    """Image rows of any page at the most, before token pooling. Raises as `open_visual`."""
    _, _, layout = describe(options)
    return layout.most_rows()


def prompt_rows(checkpoint: Checkpoint, spec: ModelSpec, tiles: tuple[int, int]) -> int:
    """Rows that the prompt and the marks between tiles add to a page's patches."""
    text = spec.prompt
    rows, columns = tiles
    marks = ""
    if spec.layout == "tiled":
        for row in range(1, rows + 1):
            marks += "".join(f"<fake_token_around_image><row_{row}_col_{column}>" for column in range(1, columns + 1))
            marks += "\n"
        marks += ("\n" if rows else "") + "<fake_token_around_image><global-img><fake_token_around_image>"
    text = text.replace("<image>", marks)
    file = checkpoint.reader / "tokenizer.json"
    if not file.is_file():
        return 12 + 3 * rows * columns + rows
    from tokenizers import Tokenizer

    return len(Tokenizer.from_file(str(file)).encode(text).ids)
