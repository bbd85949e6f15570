"""Damaged files of every format are read or refused by name, in bounded memory and time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import FACTOR
from volume_cases import KINDS

SCRIPT = Path(__file__).with_name("fuzz_me.py")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Of every format: how many cases, and what went wrong."""
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("fuzz")), "30"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240 * FACTOR, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_damaged_files_of_every_format(outcome, kind, record_property):
    count, problem = outcome[kind]
    assert not problem, problem
    assert count >= 30
    record_property("cases", count)
