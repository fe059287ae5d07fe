"""Builds that are killed, run out of disk or memory, or lose devices: nothing is lost and nothing is there twice.

The faults strike forked children of a fresh process that has opened no store; the full numbers come from
`python -m benchmarks.kill` and `python -m benchmarks.faults`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from indexers.pipeline.faults import STEPS, VARIABLE, fault_point

ROOT = Path(__file__).parents[2]
START = """
import json, random, sys
from dataclasses import replace
from pathlib import Path
from benchmarks.faults import Losses, Shortages, broken, limits
from benchmarks.kill import named_kills, random_kills
from benchmarks.small_build import Small
folder, rng = Path(sys.argv[1]), random.Random(0)
small = Small(folder / "base", documents=2, pages=20)
print(json.dumps(%s))
"""


def run(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", START % code, str(folder)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_build_killed_at_each_named_step_ends_whole(tmp_path):
    found = run("named_kills(folder, 12, (1,))", tmp_path)
    assert found.keys() == set(STEPS)
    for row in found.values():
        assert row["kills"] == 1
        assert row["wrong"] == {}


def test_builds_killed_at_random_moments_end_whole(tmp_path):
    found = run("random_kills(folder, 4, rng, 25)", tmp_path)
    assert found["kills"] >= 4
    assert found["wrong"] == {}


def test_a_limit_on_file_sizes_ends_builds_with_one_error_and_loses_nothing(tmp_path):
    found = run("limits(replace(small, folder=folder / 'limits'), 3)", tmp_path)
    assert found["wrong"] == {}
    assert sum(found["ends"].values()) == 3
    assert set(found["ends"]) <= {"finished", "StoreError: the journal", "EnvironmentProblem: the disk is full"}


BROKEN = {
    "Shortages(rng, 0.3, 5)": "",
    "Losses({'simulated:1': 1})": "",
    "Losses({'simulated:0': 0, 'simulated:1': 0})": "EnvironmentProblem: device simulated:",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What became of a build with each of these faults, all from one fresh process."""
    cases = ", ".join(
        f"broken(replace(small, folder=folder / 'devices{number}', before={before}))"
        for number, before in enumerate(BROKEN)
    )
    return dict(zip(BROKEN, run(f"[{cases}]", tmp_path_factory.mktemp("broken")), strict=True))


@pytest.mark.parametrize("before", BROKEN)
def test_devices_that_fail_lose_nothing(broken, before):
    found, error = broken[before], BROKEN[before]
    assert found["wrong"] == {}
    assert found["error"].startswith(error)
    assert bool(found["error"]) == bool(error)


def test_without_the_variable_no_step_kills(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    for step in STEPS:
        fault_point(step)
    monkeypatch.setenv(VARIABLE, "after-mark:1000000")
    fault_point("after-mark")
    fault_point("after-parse")
    killed = "import os; os.environ['VESALIUS_FAULT'] = 'after-mark:2'\n"
    killed += "from indexers.pipeline.faults import fault_point\n"
    killed += "fault_point('after-mark'); print('once', flush=True); fault_point('after-mark'); print('twice')"
    done = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "once\n"
    assert done.returncode == -9
