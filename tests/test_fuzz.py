"""A short form of `tests/fuzz.py`: no input makes a reader do anything but read or refuse."""

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz.py")


def test_no_reader_does_anything_but_read_or_refuse():
    done = subprocess.run(
        [sys.executable, str(FUZZ), "--inputs", "2000", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "findings: 0" in done.stdout
