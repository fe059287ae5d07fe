"""Rebuilding beside and switching: whatever moment it is stopped at, one of the two libraries works."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers import switching
from indexers.journal import Journal
from indexers.manifest import FILE, read_manifest
from indexers.switching import exchange, finish_switch, next_folder, old_folder, switch
from pipelines.config import load_settings
from pipelines.ingest import Sources, build_lock
from pipelines.library import Library, build_library
from pipelines.rebuild import RebuildOptions, rebuild_library, rebuilt_prefix, recorded_sources
from rag.cli.app import main
from rag.errors import LibraryNotFound, StoreError, UsageError
from rag.types import Query

pytestmark = pytest.mark.usefixtures("forwards_once")

ROOT = Path(__file__).parents[2]
WORDS = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25]", "channels.facts=[bm25]"]
SETTINGS = load_settings(overrides=WORDS).settings
OTHER = load_settings(overrides=[*WORDS[:3], "channels.facts=[bm25,dense]"]).settings


def two_folders(tmp_path):
    """A folder in use and its successor, each with a file that tells which it is."""
    place, new = tmp_path / "library", tmp_path / "library.next"
    for folder, word in ((place, "old"), (new, "new")):
        folder.mkdir()
        (folder / "word").write_text(word)
        (folder / FILE).write_text("{}")
    return place


def no_exchange(first, second):
    return False


def test_two_folders_are_exchanged_in_one_step(tmp_path):
    place = two_folders(tmp_path)
    assert exchange(place, next_folder(place))
    assert (place / "word").read_text() == "new"
    assert (next_folder(place) / "word").read_text() == "old"


def test_an_exchange_with_nothing_is_an_error(tmp_path):
    place = two_folders(tmp_path)
    with pytest.raises(FileNotFoundError):
        exchange(place, tmp_path / "nothing")


@pytest.mark.parametrize("exchanged", [exchange, no_exchange])
def test_a_switch_keeps_the_old_library(tmp_path, exchanged):
    place = two_folders(tmp_path)
    switch(place, exchanged)
    assert (place / "word").read_text() == "new"
    assert (old_folder(place) / "word").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "library.old"]
    assert not (place / switching.MARK).exists()
    assert not finish_switch(place)


class Stopped(BaseException):
    """Stands for a kill: nothing of ours may catch it."""


@pytest.mark.parametrize("exchanged", [exchange, no_exchange])
@pytest.mark.parametrize("step", range(8))
def test_a_switch_stopped_at_any_step_is_ended_by_the_next_command(tmp_path, monkeypatch, exchanged, step):
    place = two_folders(tmp_path)
    reached = []

    def counted(name, function):
        def call(*arguments, **named):
            reached.append(name)
            if len(reached) == step + 1:
                raise Stopped
            return function(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "write_text"):
            patched.setattr(Path, name, counted(name, getattr(Path, name)))
        patched.setattr(switching, "_sync", counted("sync", switching._sync))
        try:
            switch(place, counted("exchange", exchanged))
            stopped = False
        except Stopped:
            stopped = True
    finish_switch(place)
    word = (place / "word").read_text()
    assert word in ("old", "new")
    assert (place / FILE).is_file()
    if word == "new":
        assert (old_folder(place) / "word").read_text() == "old"
        assert not next_folder(place).exists()
        assert not (place / switching.MARK).exists()
    else:
        assert stopped
        assert (next_folder(place) / "word").read_text() == "new"


def test_a_switch_that_another_process_is_at_is_left_alone(tmp_path):
    place = two_folders(tmp_path)
    (next_folder(place) / switching.MARK).write_text("{}")
    place.rename(old_folder(place))
    with build_lock(next_folder(place)):
        assert not finish_switch(place)
        with pytest.raises(LibraryNotFound):
            read_manifest(place)
    assert finish_switch(place)
    assert (place / "word").read_text() == "new"


@given(
    stem=st.from_regex(r"[a-z]{1,12}", fullmatch=True),
    fingerprints=st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), min_size=1, max_size=6),
)
def test_each_rebuild_has_a_prefix_of_its_own_and_they_do_not_grow(stem, fingerprints):
    current = stem
    for fingerprint in fingerprints:
        following = rebuilt_prefix(current, fingerprint)
        assert following != current
        assert following == rebuilt_prefix(current, fingerprint)
        assert re.fullmatch(rf"{stem}-{fingerprint[:8]}b?", following)
        current = following


# ---- whole libraries


def write_facts(path, n=300):
    path.write_text("head\trelation\ttail\n" + "".join(f"sign {i}\tsuggests\tillness {i}\n" for i in range(n)))
    return path


@pytest.fixture
def library(models, tmp_path):
    facts = write_facts(tmp_path / "signs.tsv")
    build_library(tmp_path / "library", Sources(facts=(facts,)), SETTINGS)
    return tmp_path / "library"


def found(folder):
    with Library.open(folder) as opened:
        return [hit.passage.text for hit in opened.search(Query(text="illness 17"), k=1)]


def test_a_rebuild_reads_the_recorded_sources_and_keeps_the_old_library(library):
    before = read_manifest(library).fingerprint
    report = rebuild_library(library, Sources(), OTHER)
    assert report.counts["fact"] == 300
    assert report.fingerprint == read_manifest(library).fingerprint != before
    assert report.old == old_folder(library)
    assert read_manifest(report.old).fingerprint == before
    assert found(library) == found(report.old)
    assert not next_folder(library).exists()
    with Library.open(library) as opened:
        assert opened.inspect(deep=True).ok


def test_a_second_rebuild_replaces_what_the_first_kept_and_may_keep_nothing(library):
    rebuild_library(library, Sources(), OTHER)
    middle = read_manifest(library).fingerprint
    rebuild_library(library, Sources(), SETTINGS)
    assert read_manifest(old_folder(library)).fingerprint == middle
    report = rebuild_library(library, Sources(), OTHER, RebuildOptions(drop_old=True))
    assert report.old is None
    assert not old_folder(library).exists()
    assert found(library)


def test_searches_and_reads_go_on_while_the_library_is_rebuilt(library):
    with Library.open(library) as opened:
        first = [hit.passage.id for hit in opened.search("illness 17", k=5)]
        rebuild_library(library, Sources(), OTHER)
        assert [hit.passage.id for hit in opened.search("illness 17", k=5)] == first
    assert found(library)


def test_other_changes_are_refused_meanwhile_and_named(library, tmp_path):
    facts = write_facts(tmp_path / "more.tsv", 3)
    with build_lock(library), pytest.raises(StoreError, match=f"changed by process {os.getpid()}"):
        rebuild_library(library, Sources(), OTHER)
    with build_lock(next_folder(library)), pytest.raises(StoreError, match="changed by process"):
        rebuild_library(library, Sources(), OTHER)
    build_library(library, Sources(facts=(facts,)), SETTINGS)
    assert not old_folder(library).exists()


def test_sources_that_are_gone_are_named_and_may_be_given_anew(library, tmp_path):
    moved = (tmp_path / "signs.tsv").rename(tmp_path / "elsewhere.tsv")
    with pytest.raises(UsageError, match=r"signs\.tsv; name the sources"):
        rebuild_library(library, Sources(), OTHER)
    report = rebuild_library(library, Sources(facts=(moved,)), OTHER)
    assert report.counts["fact"] == 300
    with Library.open(library) as opened:
        assert [row["name"] for row in opened.status()["documents"]] == ["elsewhere"]


def test_a_source_that_has_become_unreadable_leaves_the_old_library_in_place(library, tmp_path):
    (tmp_path / "signs.tsv").write_bytes(b"\x00\x01")
    with pytest.raises(StoreError, match="lacks signs; the old one stays"):
        rebuild_library(library, Sources(), OTHER)
    assert found(library)


def test_a_rebuild_begun_with_other_settings_is_begun_anew(library):
    build_library(next_folder(library), recorded_sources(library), SETTINGS)
    stale = Journal(next_folder(library) / "journal.sqlite")
    stale.close()
    rebuild_library(library, Sources(), OTHER)
    with Library.open(library) as opened:
        assert {channel.name for channel in opened.parts.channels() if channel.kind == "fact"} == {"bm25", "dense"}


def test_relative_sources_are_found_from_another_folder(models, tmp_path, monkeypatch):
    write_facts(tmp_path / "signs.tsv")
    monkeypatch.chdir(tmp_path)
    build_library(Path("library"), Sources(facts=(Path("signs.tsv"),)), SETTINGS)
    monkeypatch.chdir("/")
    assert recorded_sources(tmp_path / "library") == Sources(facts=(tmp_path / "signs.tsv",))


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs exact")
def test_on_a_server_the_new_collections_stand_beside_the_old(models, tmp_path, monkeypatch):
    from qdrant_client import QdrantClient

    from indexers.stores.server import ServerStore

    prefixes = []

    def connect(url, api_key, prefix, specs, root, *rest):
        prefixes.append(prefix)
        return ServerStore(QdrantClient(path=str(tmp_path / "qdrant")), prefix, specs, root)

    monkeypatch.setattr(ServerStore, "connect", connect)
    settings = load_settings(overrides=[*WORDS, "store.kind=server", "store.prefix=mine"]).settings
    folder = tmp_path / "library"
    build_library(folder, Sources(facts=(write_facts(tmp_path / "signs.tsv", 30),)), settings)
    report = rebuild_library(folder, Sources(), settings)
    new = f"mine-{report.fingerprint[:8]}"
    assert read_manifest(folder).settings["store"]["prefix"] == new
    assert read_manifest(report.old).settings["store"]["prefix"] == "mine"
    assert set(prefixes) == {"mine", new}
    assert found(folder) == found(report.old)
    with Library.open(folder) as opened:
        current = opened.settings  # as the command reads them
    report = rebuild_library(folder, Sources(), current)
    assert read_manifest(folder).settings["store"]["prefix"] == f"{new}b"
    assert report.notes == ("the collections mine-* on the server are empty now; delete them there",)
    assert found(folder)


def test_the_command_takes_a_preset_and_says_what_it_kept(library, capsys):
    words = [flag for word in WORDS for flag in ("--set", word)]
    assert main(["index", "rebuild", "--library", str(library), "--preset", "text", *words, "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["fact"] == 300
    assert report["old"] == str(old_folder(library))
    assert read_manifest(library).preset == "text"


KILLED = """
import os, signal, sys
from pathlib import Path
from indexers import switching
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.rebuild import rebuild_library

folder, plain = Path(sys.argv[1]), sys.argv[2] == "plain"
words = [f"channels.{kind}=[bm25]" for kind in ("pages", "figures", "cases", "facts")]
settings = load_settings(overrides=words).settings

def rebuild(step):
    reached = 0

    def fatal(function):
        def call(*arguments, **named):
            nonlocal reached
            reached += 1
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return call

    if plain:
        switching.switch.__defaults__ = (lambda first, second: False,)
    else:
        switching.switch.__defaults__ = (fatal(switching.exchange),)
    for name in ("rename", "unlink", "replace"):
        setattr(Path, name, fatal(getattr(Path, name)))
    switching.shutil.rmtree = fatal(switching.shutil.rmtree)
    rebuild_library(folder, Sources(), settings)

for line in sys.stdin:  # one rebuild per line, in a process of its own, each begun before any store was opened
    child = os.fork()
    if not child:
        code = 1
        try:
            rebuild(int(line))
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("system", ["linux", pytest.param("plain", marks=pytest.mark.slow)])
def test_killed_at_any_file_operation_the_library_works_and_the_rebuild_goes_on(library, tmp_path, system):
    rebuild_library(library, Sources(), SETTINGS)  # so that there is an old library to be dropped
    step, killed = 1, 0
    command = [sys.executable, "-c", KILLED, str(library), system]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        while True:
            starter.stdin.write(f"{step}\n")
            starter.stdin.flush()
            code = int(starter.stdout.readline())
            assert found(library), f"after a kill at operation {step}"
            if code == 0:
                break
            assert code == -signal.SIGKILL
            killed += 1
            step += 1
        starter.stdin.close()
    assert killed >= 5
    with Library.open(library) as opened:
        assert opened.inspect(deep=True).ok
    assert not next_folder(library).exists()
