from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from toy import ROOT

from pipeline.processor import AVX2

COMPILED = "TORCHINDUCTOR_CACHE_DIR"
ASK = """
import json, os
from pathlib import Path
from pipeline import processor
folder = Path("kept")
print(json.dumps([processor.settle(folder), processor.settle(folder), dict(os.environ)]))
"""


def settle(**given: str) -> tuple[str, dict[str, str]]:
    """Return what the runs of a process with the variables `given` compute with, and have."""
    env = {key: value for key, value in os.environ.items() if key not in (*AVX2, COMPILED)} | given
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    first, second, have = json.loads(done.stdout)
    assert first == second, "it holds for those that ask after it"
    assert have[COMPILED] == given.get(COMPILED, str(ROOT / "kept" / f"compiled-{first}"))
    return first, {key: have[key] for key in AVX2 if key in have}


def test_avx2_is_the_most_that_runs_use():
    found, have = settle()
    assert found != "AVX512"
    assert have == (AVX2 if found == "AVX2" else {})


@pytest.mark.parametrize("given", ["default", "avx512"])
def test_what_the_environment_says_stays(given: str):
    found, have = settle(ATEN_CPU_CAPABILITY=given)
    assert have.pop("ATEN_CPU_CAPABILITY") == given
    assert (not have) == (found != "AVX2")
    if given == "default":
        assert found in ("DEFAULT", "NO AVX")


def test_a_folder_for_what_is_compiled_that_the_environment_names_stays():
    settle(**{COMPILED: "elsewhere"})
