"""Every parser keeps the parser contract."""

import gzip
import json
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

from indexers.sources.cases import CaseParser
from indexers.sources.facts import FactParser
from indexers.sources.pdf import PdfParser
from rag.protocols import Parser
from rag.testing.parser import ParserContract


class TestPdfParser(ParserContract):
    @pytest.fixture
    def parser(self, tmp_path: Path) -> Parser:
        return PdfParser(tmp_path / "images")

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        book = pymupdf.open()
        for number in range(1, 4):
            page = book.new_page()
            page.insert_text((72, 90), f"Lesson {number}", fontsize=18)
            page.insert_text((72, 130), "The nephron filters blood.\nIt returns what is useful.", fontsize=10)
            page.draw_rect(pymupdf.Rect(100, 300, 300, 400))
        book.save(tmp_path / "bücher für 医学.pdf")
        return tmp_path / "bücher für 医学.pdf"


class TestCaseParserJsonLines(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return CaseParser()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        Image.new("L", (40, 30), 90).save(tmp_path / "scan.png")
        rows = [{"id": f"r{i}", "image": "scan.png", "report": f"Finding {i}."} for i in range(35)]
        file = tmp_path / "records.jsonl"
        file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return file


class TestCaseParserCsv(TestCaseParserJsonLines):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        rows = "".join(f'r{i},"Left lung clear,\r\nright lung too.",No {i}.\r\n' for i in range(20))
        file = tmp_path / "cases.csv"
        file.write_bytes(b"\xef\xbb\xbf" + f"id,findings,impression\r\n{rows}".encode())
        return file


class TestFactParserTsv(ParserContract):
    @pytest.fixture
    def parser(self) -> Parser:
        return FactParser()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        file = tmp_path / "triples.tsv.gz"
        rows = "".join(f"disease {i}\thas_symptom\tfever\tours\tCC0\n" for i in range(600))
        file.write_bytes(gzip.compress(f"head\trelation\ttail\tsource\tlicense\n{rows}".encode()))
        return file


class TestFactParserObo(TestFactParserTsv):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        terms = "".join(f"[Term]\nid: X:{i}\nname: disease {i}\nis_a: X:0 ! disease 0\n\n" for i in range(300))
        file = tmp_path / "tree.obo"
        file.write_text(f"format-version: 1.2\nontology: ours\n\n{terms}", encoding="utf-8")
        return file


class TestFactParserAnnotations(TestFactParserTsv):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        file = tmp_path / "phenotype.hpoa"
        rows = "".join(f"D:{i}\tdisease {i}\t\tHP:1\tP:1\n" for i in range(300))
        file.write_text(f"#version: 1\ndatabase_id\tdisease_name\tqualifier\thpo_id\treference\n{rows}")
        return file


class TestFactParserCodes(TestFactParserTsv):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        file = tmp_path / "codes.txt"
        file.write_text("".join(f"A{i // 10:02d}{i % 10}  description {i}\n" for i in range(300)))
        return file
