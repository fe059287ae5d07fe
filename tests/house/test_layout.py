"""Rules of the house that no linter knows."""

import re
import subprocess
import sys
from pathlib import Path

import rag

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "pymupdf",
    "onnxruntime",
    "onnx",
    "qdrant_edge",
    "qdrant_client",
    "llama_index",
    "pydantic",
)


def python_files():
    return [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]


def test_public_names_are_the_documented_ones():
    assert rag.__all__ == [
        "Answer", "Assistant", "Citation", "Claim", "Evidence", "Hit", "Library", "Passage", "Query", "VesaliusError",
    ]  # fmt: skip
    assert all(getattr(rag, name) is not None for name in rag.__all__)


def test_importing_rag_loads_no_heavy_library():
    code = f"import rag, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_help_loads_no_heavy_library():
    code = (
        "import sys\nfrom rag.cli.app import main\n"
        "try: main(['search', '--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]")


def test_nobody_shadows_the_builtin_eval():
    bad = [str(path) for path in python_files() if re.search(r"^\s*import eval\b", path.read_text("utf-8"), re.M)]
    assert bad == []


def test_no_init_file_under_tests():
    # A folder tests/eval with an __init__.py would become the package `eval` and hide ours.
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_presets_and_data_files_are_inside_the_packages():
    assert (ROOT / "pipelines" / "presets" / "embedded.yaml").is_file()
    assert (ROOT / "indexers" / "models.lock.toml").is_file()
