"""Opening a library from the command line."""

from __future__ import annotations

import argparse

from indexers.manifest import FILE, read_manifest
from indexers.switching import finish_switch
from pipelines.config import Settings, load_settings
from pipelines.library import Library
from pipelines.retriever_gate import gate_warning
from rag.cli.common import note


def library_settings(args: argparse.Namespace) -> Settings:
    """Settings of this call on top of those that the library was built with, if there is one already."""
    finish_switch(args.library)
    if not (args.library / FILE).is_file():
        return load_settings(args.preset, args.config, args.set).settings
    manifest = read_manifest(args.library)
    return load_settings(args.preset or manifest.preset, args.config, args.set, library=manifest.settings).settings


def open_library(args: argparse.Namespace) -> Library:
    """The library of --library. Raises LibraryNotFound."""
    read_manifest(args.library)
    if warning := gate_warning(args.library):
        note(args, warning)
    return Library.open(args.library, library_settings(args))
