"""Opening a library from the command line."""

from __future__ import annotations

import argparse

from pipelines.config import load_settings
from pipelines.library import Library
from rag.cli.common import settings


def open_library(args: argparse.Namespace) -> Library:
    """The library of --library. Without a preset or file of the user's own, the one it was built with is used."""
    from indexers.manifest import read_manifest

    if args.preset or args.config:
        return Library.open(args.library, settings(args))
    preset = read_manifest(args.library).preset
    return Library.open(args.library, load_settings(preset, None, args.set).settings)
