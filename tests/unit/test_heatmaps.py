"""Heat maps end to end: a tiny page with its layout, an exact store, hash vectors that show where each word stands."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexers.encoders.hashing import HashEncoder
from indexers.stores.memory import MemoryStore
from pipelines.answer_cards import PageImage
from pipelines.heatmap_drawing import OPACITY, Drawing, colours, draw, laid_over
from pipelines.heatmap_files import MOST_PAGES, MOST_WORDS, file_name, query_folder, write_heatmaps
from pipelines.heatmaps import PageMapper
from rag.cli.app import main
from rag.errors import QueryError, SourceError, UsageError
from rag.fingerprint import passage_id
from rag.regions import Region
from rag.retrievers import Channel
from rag.similarity import word_boxes
from rag.types import Box, CaseLocator, Hit, Layout, PageLocator, Passage, Point, Query

pytestmark = pytest.mark.usefixtures("forwards_once")

GOLDEN = Path(__file__).parents[1] / "data" / "heatmaps.json"
TEXT = (
    "Airways\n\n"
    "The trachea divides into two main bronchi at the carina\n"
    "and goblet cells in its lining make the mucus film\n\n"
    "Lungs\n\n"
    "The right lung has three lobes while the left has two\n"
    "and a fissure parts each lobe from its neighbour below\n\n"
    "Figure 1 Alveoli and capillaries"
)


class PlacedWords(HashEncoder):
    """One row per word, standing where the word stands."""

    def row_boxes(self, passage):
        return word_boxes(passage)

    def query_tokens(self, query):
        return re.findall(r"\w+", query.text)


def page(number=1, *, text=TEXT, images=(), size="400x300"):
    boxes = []
    for row, line in enumerate(text.split("\n")):
        boxes += [(20 + 34 * i, 20 + 20 * row, 50 + 34 * i, 34 + 20 * row) for i in range(len(line.split()))]
    key = passage_id("c" * 64, "page", f"p{number}")
    meta = {"size": size} if size else {}
    return Passage(key, "page", "Atlas, 2nd ed.", text, PageLocator(number), images, meta, Layout.from_boxes(boxes))


def figure(number=1):
    meta = {"page_id": page(number).id, "label": "Figure 1"}
    box = Box(20, 220, 200, 290)
    key = passage_id("c" * 64, "figure", f"p{number}")
    return Passage(
        key, "figure", "Atlas, 2nd ed.", "Figure 1 Alveoli and capillaries", PageLocator(number, box), meta=meta
    )


CASE = Passage("c1", "case", "clinic", "A cough.", CaseLocator("r1"))


class Shelf:
    """A library's three doors over the exact store."""

    def __init__(self, passages, image=None):
        self.encoder = PlacedWords("late", form="multi")
        self.channels = [Channel(kind, self.encoder.spec, self.encoder) for kind in ("page", "figure")]
        self.store = MemoryStore({"page": (self.encoder.spec,), "figure": (self.encoder.spec,)})
        rows = self.encoder.encode_passages(passages)
        self.store.upsert([Point(passage, {"late": row}) for passage, row in zip(passages, rows, strict=True)])
        self.image = image

    def points(self, ids):
        return self.store.points(ids)

    def page_image(self, passage):
        return None if self.image is None else PageImage(self.image, 400, 300)

    def search(self, query, k, kinds, *, rerank):
        [kind] = kinds
        return self.store.search(kind, "late", self.encoder.encode_queries([query])[0], k, query.filters)

    def mapper(self):
        return PageMapper(self, self.channels)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "page.png"
    Image.new("RGB", (800, 600), "white").save(path)
    return path


def hits(*passages):
    return [Hit(replace(passage, layout=None), 1.0 / rank) for rank, passage in enumerate(passages, start=1)]


def test_the_map_of_a_word_lies_on_that_word():
    shelf = Shelf([page(), figure()])
    [found] = shelf.mapper().maps(Query("goblet cells"), hits(page()))
    goblet = TEXT.split().index("goblet")
    best = found.places[found.words[0].values.argmax()]
    np.testing.assert_allclose(best, word_boxes(page())[goblet], atol=1e-6)
    assert [word.name for word in found.words] == ["goblet", "cells"]
    assert found.score == pytest.approx(2.0, abs=1e-4)
    assert found.regions()[0].text == "and goblet cells in its lining make the mucus film"


def test_the_figure_of_the_page_is_found_by_its_caption_and_not_that_of_another():
    shelf = Shelf([page(1), figure(1), page(2), figure(2)])
    [found] = shelf.mapper().maps(Query("alveoli capillaries"), hits(page(2)))
    assert [passage.id for passage in found.figures] == [figure(2).id]
    assert (found.regions()[0].kind, found.regions()[0].box) == ("figure", figure().box)


def test_only_pages_have_maps_and_ranks_are_those_of_the_hits():
    shelf = Shelf([page(1), page(2)])
    found = shelf.mapper().maps(Query("trachea"), [*hits(CASE), *hits(page(2)), *hits(figure()), *hits(page(1))])
    assert [(item.rank, item.passage.page) for item in found] == [(2, 2), (4, 1)]
    assert shelf.mapper().maps(Query("trachea"), hits(CASE)) == []


def test_words_that_are_not_on_the_page_tell_nothing():
    [found] = Shelf([page()]).mapper().maps(Query("zebra trachea crossing"), hits(page()))
    assert [word.name for word in found.telling_words()] == ["trachea"]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ([page(2)], "no vectors in the channel late"),
        ([page(1, size="")], "1 rows|not known where|boxes were found"),
    ],
)
def test_a_page_that_cannot_be_mapped_says_why(stored, reason):
    [found] = Shelf(stored).mapper().maps(Query("trachea"), hits(page(1)))
    assert re.search(reason, found.reason)
    assert found.regions() == ()


def test_a_page_whose_image_is_gone_does_not_stop_the_others():
    shelf = Shelf([page(1), page(2)])

    def row_boxes(passage):
        if passage.page == 1:
            raise SourceError("page 1 has no image to show rows on")
        return word_boxes(passage)

    shelf.encoder.row_boxes = row_boxes
    found = shelf.mapper().maps(Query("trachea"), hits(page(1), page(2)))
    assert [item.reason for item in found] == ["page 1 has no image to show rows on", ""]


def test_a_library_without_a_channel_that_knows_places_is_refused():
    plain = HashEncoder("dense")
    with pytest.raises(UsageError, match="heat maps need a page channel that knows where it reads"):
        PageMapper(Shelf([]), [Channel("page", plain.spec, plain)])


def test_what_sees_the_page_is_asked_before_what_reads_its_text():
    seeing = PlacedWords("visual", form="multi")
    shelf = Shelf([page()])
    mapper = PageMapper(shelf, [*shelf.channels, Channel("page", seeing.spec, seeing)])
    [found] = mapper.maps(Query("trachea"), hits(page()))
    assert found.reason == "the page has no vectors in the channel visual"


def test_a_query_that_no_channel_reads_is_refused(image):
    with pytest.raises(QueryError, match="nothing that late reads"):
        Shelf([page()]).mapper().maps(Query("", images=(image,)), hits(page()))


def test_rows_without_names_have_the_whole_map_only(image, tmp_path):
    shelf = Shelf([page()], image)
    shelf.encoder.query_tokens = lambda query: ["one name too few"]
    maps = shelf.mapper().maps(Query("goblet cells"), hits(page()))
    index = write_heatmaps(tmp_path / "out", Query("goblet cells"), maps, shelf.mapper())
    assert [row["token"] for row in index["maps"]] == [None]
    assert index["maps"][0]["regions"]


def written(tmp_path, image, query=None, pages=(1, 2)):
    shelf = Shelf([page(1), figure(1), page(2, text="Nothing of the kind stands here.\n\nNot even this.")], image)
    query = query or Query("Where do goblet cells make mucus?", id="q1")
    maps = shelf.mapper().maps(query, hits(*(page(number) for number in pages)))
    return write_heatmaps(tmp_path / "maps", query, maps, shelf.mapper()), tmp_path / "maps"


def test_the_index_is_as_agreed(tmp_path, image):
    index, folder = written(tmp_path, image)
    assert json.loads((folder / "heatmaps.json").read_text("utf-8")) == index
    assert index == json.loads(GOLDEN.read_text("utf-8"))


def test_every_file_named_is_a_picture_and_nothing_else_is_left(tmp_path, image):
    index, folder = written(tmp_path, image)
    names = {row["file"] for row in index["maps"]}
    assert {path.name for path in folder.iterdir()} == names | {"heatmaps.json"}
    for name in names:
        with Image.open(folder / name) as picture:
            assert picture.format == "PNG"
            assert picture.width == 800


def test_the_picture_is_coloured_where_the_word_stands_only(tmp_path, image):
    index, folder = written(tmp_path, image, pages=(1,))
    [name] = [row["file"] for row in index["maps"] if row["token"] == "goblet"]
    with Image.open(folder / name) as picture:
        pixels = np.asarray(picture.convert("RGB"), np.int16)
    top = np.flatnonzero((pixels[:, 700] != pixels[0, 700]).any(axis=1))
    assert len(top) < len(pixels) / 2
    x0, y0, x1, y1 = (word_boxes(page())[TEXT.split().index("goblet")] * (800, 600, 800, 600)).astype(int)
    offset = header_height(pixels, (x0 + x1) // 2, (y0 + y1) // 2)
    inside = pixels[offset + (y0 + y1) // 2, (x0 + x1) // 2]
    assert inside[0] > inside[2] + 60, "orange has more red than blue"


def header_height(pixels, x, y):
    """The page begins below the header: where the column's strongest colour stands, less its place on the page."""
    redness = pixels[:, x, 0] - pixels[:, x, 2]
    rows = np.flatnonzero(redness > 60)
    rows = rows[rows > 80]
    return int(rows[len(rows) // 2]) - y


def test_pages_that_cannot_be_drawn_are_listed_with_the_reason(tmp_path, image):
    index, _ = written(tmp_path, None)
    assert [row["reason"] for row in index["skipped"]] == ["the image of this page is not at hand"] * 2
    image.write_bytes(b"no image")
    index, folder = written(tmp_path, image)
    assert "cannot be read" in index["skipped"][0]["reason"]
    assert [path.name for path in folder.iterdir()] == ["heatmaps.json"]


def test_only_the_first_pages_and_words_are_drawn(tmp_path, image):
    Image.new("RGB", (200, 150), "white").save(image)
    shelf = Shelf([page(number) for number in range(1, 9)], image)
    query = Query("trachea bronchi carina goblet lining mucus film lobes fissure neighbour")
    maps = shelf.mapper().maps(query, hits(*(page(number) for number in range(1, 9))))
    index = write_heatmaps(tmp_path / "many", query, maps, shelf.mapper())
    assert {row["rank"] for row in index["maps"]} == set(range(1, MOST_PAGES + 1))
    assert len(index["maps"]) == MOST_PAGES * (1 + MOST_WORDS)
    assert len(maps) == 8


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path, image):
    (tmp_path / "maps").write_text("a file stands here")
    with pytest.raises(UsageError, match="heat maps cannot be written to"):
        written(tmp_path, image)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc-passwd"), ("Größe?", "gr-e"), ("心臓", ""), ("a" * 99, "a" * 40),
        ("CON: x\x00y", "con-x-y"), (".", ""), ("-rf", "rf"),
    ],
)  # fmt: skip
def test_names_are_safe(text, name):
    assert file_name(text) == name


def test_folders_of_many_queries_never_meet(tmp_path):
    taken = set()
    names = [query_folder(tmp_path, key, taken).name for key in ("q/1", "q 1", "q-1-2", "心", "臓")]
    assert names == ["q-1", "q-1-2", "q-1-2-2", "query", "query-2"]


def test_colours_darken_steadily_and_zero_leaves_the_page_as_it_is():
    values = np.linspace(0, 1, 50, dtype=np.float32)
    white = laid_over(np.full((1, 50, 3), 255, np.float32), values[None])[0].astype(float)
    # Relative luminance of WCAG 2 falls from step to step, so the order survives in grey and for every eye.
    luminance = ((white / 255) ** 2.2) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) <= 1e-9).all()
    assert luminance[0] == 1
    assert luminance[-1] < 0.5
    np.testing.assert_array_equal(laid_over(np.full((1, 1, 3), 17, np.float32), np.zeros((1, 1), np.float32)), 17)
    assert colours(np.float32([0, 1])).tolist() == [[255, 255, 178], [240, 59, 32]]


def test_print_stays_dark_under_the_strongest_colour():
    black = laid_over(np.zeros((1, 1, 3), np.float32), np.ones((1, 1), np.float32))[0, 0]
    paper = laid_over(np.full((1, 1, 3), 255, np.float32), np.ones((1, 1), np.float32))[0, 0]
    contrast = [
        (((c / 255) ** 2.2) @ (0.2126, 0.7152, 0.0722) + 0.05) for c in (paper.astype(float), black.astype(float))
    ]
    # 4.5 is what WCAG 2 asks of text; full strength is the extreme.
    assert contrast[0] / contrast[1] > 4.5
    assert 0 < OPACITY < 1


def test_an_odd_page_is_drawn_too(tmp_path):
    path = tmp_path / "narrow.png"
    Image.new("L", (30, 900), 200).save(path)
    nothing = np.empty((0, 4), np.float32)
    long = tuple((word, 0.4) for word in ["心臓", "hypertension" * 9, "β-blocker"] * 5)
    outside = Region(Box(-50, 90, 9000, 95), 0.5, "text", "\x00 text • of all kinds " * 50)
    drawing = Drawing("t" * 500, long, nothing, np.empty(0, np.float32), (outside,), (30.0, 900.0))
    assert draw(path, drawing).startswith(b"\x89PNG")


def test_the_command_writes_maps_and_regions(sample_folder, tmp_path, capsys):
    command = ["search", "goblet cells", "--library", str(sample_folder), "--in", "pages,cases", "-k", "3", "--json"]
    assert main([*command, "--heatmap", str(tmp_path / "maps")]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)["hits"]
    pages = [hit for hit in found if hit["kind"] == "page"]
    assert all(("regions" in hit) == (hit["kind"] == "page") for hit in found)
    assert "goblet" in " ".join(region["text"] for region in pages[0]["regions"])
    index = json.loads((tmp_path / "maps" / "heatmaps.json").read_text("utf-8"))
    assert [row["file"] for row in index["maps"] if row["rank"] == pages[0]["rank"]]
    assert all((tmp_path / "maps" / row["file"]).is_file() for row in index["maps"])
    assert main(command) == 0
    assert "regions" not in json.loads(capsys.readouterr().out)["hits"][0]


def test_many_queries_get_a_folder_each(sample_folder, tmp_path, capsys):
    rows = [
        {"id": "a/b", "text": "goblet cells"},
        {"id": "image", "image": "page.png"},
        {"id": "c", "text": "meniscus"},
    ]
    Image.new("RGB", (60, 60), "white").save(tmp_path / "page.png")
    queries, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    queries.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    command = ["search", "--queries", str(queries), "--out", str(out), "--library", str(sample_folder), "-k", "1"]
    status = main([*command, "--in", "pages", "--heatmap", str(tmp_path / "maps")])
    results = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert status == (1 if "error" in results[1] else 0)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir() if path.name != "image") == ["a-b", "c"]
    assert results[0]["hits"][0]["regions"]
    assert "heat map" in results[1].get("error", "heat map")
