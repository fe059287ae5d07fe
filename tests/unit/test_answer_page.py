import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.answer_cards import PageImage, marked_text
from pipelines.answer_page import render_answer_page
from pipelines.inline_images import data_uri
from rag.grounding.ground import DISCLAIMER, GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.types import (
    Answer,
    Box,
    CaseLocator,
    Draft,
    DraftClaim,
    Evidence,
    FactLocator,
    Hit,
    Layout,
    PageLocator,
    Passage,
    Query,
)

HOSTILE = "<script>alert('x')</script> \"quoted\" & <img src=x onerror=alert(1)> javascript:alert(1) $question ${title}"


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    Image.new("RGB", (200, 280), "white").save(path)
    return path


def passages(png: Path, word: str = "tendon") -> list[Passage]:
    text = f"The {word} is strong. It joins bone."
    layout = Layout.from_boxes([(10 + 20 * i, 30, 28 + 20 * i, 40) for i in range(len(text.split()))])
    fact = FactLocator(word, "joins_to", word, "absent")
    return [
        Passage("p", "page", f"book {word}", text, PageLocator(3, section=(word,)), layout=layout),
        Passage("g", "figure", "book", f"Figure 1 {word}", PageLocator(4, Box(10, 20, 90, 80))),
        Passage(
            "c", "case", "clinic", f"Seen: {word}. Torn.", CaseLocator(word), images=(png,), meta={"license": word}
        ),
        Passage("f", "fact", "graph", f"{word} joins {word}", fact),
    ]


def answer_from(found: list[Passage], query: Query, confidence: float = 0.8) -> Answer:
    claims = tuple(DraftClaim(" ".join(p.text.split()), p.id, p.text) for p in found)
    evidence = Evidence(tuple(Hit(p, 1.0) for p in found))
    draft = Draft(claims, 0 if query.options else None, confidence)
    return ground(query, draft, evidence, LexicalJudge(), GroundingPolicy(min_support=0.0, unverified="mark"))


def page_of(png: Path, query: Query, word: str = "tendon", confidence: float = 0.8) -> tuple[str, Page]:
    answer = answer_from(passages(png, word), query, confidence)
    html = render_answer_page(query, answer, lambda passage: PageImage(png, 595.0, 842.0))
    return html, Page(html)


def test_question_answer_sources_and_disclaimer_are_there(png: Path) -> None:
    _, page = page_of(png, Query(text="What is a tendon?", images=(png,), options=("a cord", "a bone")))
    for expected in ("What is a tendon?", "The tendon is strong.", "book tendon, page 3", "case tendon", "absent",
                     "Confidence 0.80", "support 1.00", "laterality", "a bone", DISCLAIMER[:40]):  # fmt: skip
        assert expected in page.text


def test_every_mark_leads_to_a_source_and_ids_are_unique(png: Path) -> None:
    _, page = page_of(png, Query(text="What is a tendon?"))
    targets = [value.removeprefix("#") for value in page.values("href")]
    assert targets == ["source-1", "source-2", "source-3", "source-4"]
    assert sorted(page.values("id")) == sorted(set(targets))


@pytest.mark.parametrize("abstains", [False, True])
def test_hostile_text_stays_text_everywhere(png: Path, abstains: bool) -> None:
    query = Query(text=f"What? {HOSTILE}", options=(HOSTILE, "b"), id=HOSTILE)
    html, page = page_of(png, query, HOSTILE, 0.0 if abstains else 0.9)
    assert "script" not in page.tags
    assert not {name for _, name, _ in page.attributes if name.startswith("on")}
    assert all(value.startswith("#source-") for value in page.values("href"))
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert "<script" not in html
    assert HOSTILE in page.text


def test_the_page_loads_and_runs_nothing(png: Path) -> None:
    html, page = page_of(png, Query(text="What is a tendon?", images=(png,)))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"https?://", html)
    assert "default-src 'none'" in " ".join(page.values("content"))


def test_boxes_are_drawn_in_points_of_the_page(png: Path) -> None:
    html, page = page_of(png, Query(text="What is a tendon?"))
    assert "0 0 595.00 842.00" in page.values("viewbox")
    assert '<rect x="10.00" y="30.00"' in html
    assert '<rect class="frame" x="10.00" y="20.00" width="80.00" height="60.00"/>' in html


def test_the_number_stands_in_the_margin_of_the_quote(png: Path) -> None:
    page = passages(png)[0]
    claim = DraftClaim("It joins bone.", "p", "It joins bone.")
    query = Query(text="What does it join?")
    answer = ground(query, Draft((claim,), None, 1.0), Evidence((Hit(page, 1.0),)), LexicalJudge(), GroundingPolicy())
    html = render_answer_page(query, answer, lambda passage: PageImage(png, 595.0, 842.0))
    assert '<rect x="90.00"' in html
    assert '<text x="2.00" y="39.00">1</text>' in html


def test_two_quotes_from_one_page_share_one_card(png: Path) -> None:
    page = passages(png)[0]
    claims = tuple(DraftClaim(quote, "p", quote) for quote in ("The tendon is strong.", "It joins bone."))
    query = Query(text="What is a tendon?")
    answer = ground(query, Draft(claims, None, 1.0), Evidence((Hit(page, 1.0),)), LexicalJudge(), GroundingPolicy())
    html = render_answer_page(query, answer, lambda passage: PageImage(png, 595.0, 842.0))
    assert html.count('<article class="source">') == 1
    assert html.count("<rect ") == 2


def test_an_abstention_says_why_and_shows_no_source(png: Path) -> None:
    _, page = page_of(png, Query(text="What is a tendon?"), confidence=0.1)
    assert "No answer." in page.text
    assert "confidence 0.10, needed 0.50" in page.text
    assert "Sources" not in page.text


def test_a_missing_page_image_is_said(png: Path, tmp_path: Path) -> None:
    query = Query(text="What is a tendon?", images=(tmp_path / "gone.png",))
    answer = answer_from(passages(png)[:1], query)
    assert "not at hand" in render_answer_page(query, answer, lambda passage: None)
    html = render_answer_page(query, answer, lambda passage: PageImage(tmp_path / "gone.png", 595.0, 842.0))
    assert "not at hand" in html
    assert "gone.png could not be shown" in html


def test_a_failed_check_is_visible(png: Path) -> None:
    query = Query(text="Which side?")
    passage = Passage("p", "page", "book", "The left knee.", PageLocator(1))
    draft = Draft((DraftClaim("The right knee.", "p", "The left knee."),), None, 1.0)
    answer = ground(query, draft, Evidence((Hit(passage, 1.0),)), LexicalJudge(), GroundingPolicy(unverified="mark"))
    assert '<span class="fail">laterality</span>' in render_answer_page(query, answer, lambda passage: None)


def test_an_image_alone_has_a_question_to_show(png: Path) -> None:
    _, page = page_of(png, Query(images=(png,)))
    assert "What does this image show?" in page.text


def test_marks_in_a_report_do_not_nest() -> None:
    marked = marked_text("left & right knee torn", ["left & right", "right knee", "torn", "not there"])
    assert marked == "<mark>left &amp; right</mark><mark> knee</mark> <mark>torn</mark>"


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_images_are_scaled_and_lose_their_metadata(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x010E] = "Jane Roe, born 1950"
    path = tmp_path / "photo.jpg"
    Image.fromarray(rng.integers(0, 255, (300, 900, 3), dtype=np.uint8)).save(path, exif=exif)
    uri = data_uri(path, 450)
    assert uri is not None
    assert decoded(uri).size == (450, 150)
    assert not decoded(uri).getexif()
    assert b"Jane" not in base64.b64decode(uri.partition(",")[2])


def test_a_16_bit_radiograph_is_stretched(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.linspace(1000, 3000, 64, dtype=np.uint16).reshape(8, 8)).save(path)
    uri = data_uri(path)
    assert uri is not None
    assert decoded(uri).convert("L").getextrema() == (0, 255)


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(path)
    uri = data_uri(path)
    assert uri is not None
    assert decoded(uri).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_what_is_no_image_is_not_shown(tmp_path: Path) -> None:
    text = tmp_path / "fake.png"
    text.write_text("not an image")
    cut = tmp_path / "cut.png"
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "PNG")
    cut.write_bytes(whole.getvalue()[:200])
    assert data_uri(text) is None
    assert data_uri(cut) is None
    assert data_uri(tmp_path) is None


def test_an_enormous_image_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (9000, 9000)).save(path)
    assert data_uri(path) is None
