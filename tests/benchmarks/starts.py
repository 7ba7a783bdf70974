"""When a stage's own work begins: `python tests/benchmarks/starts.py [REPEATS]`.

What comes before it is the interpreter, the stage's imports and the reading of `params.yaml`.
Stages take turns; of each the least and the median, in seconds of the processor and of the clock.
 `python -X importtime -m stages.STAGE` says what they are spent on.
"""
# ruff: noqa: T201

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMITS = {"admit": 1.5, "merge": 1.5, "train": 5.0, "sample": 5.0, "correct": 5.0}
PROGRAM = """
import time
from pathlib import Path
import stages.{stage}
from lirf import params
params.load(Path("params.yaml"))
print(time.time(), time.process_time())
"""


def start(stage: str) -> tuple[float, float]:
    """Return seconds of the clock and of the processor until the stage's work begins."""
    began = time.time()
    command = [sys.executable, "-c", PROGRAM.format(stage=stage)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=True
    )
    clock, processor = map(float, done.stdout.split())
    return clock - began, processor


def main(repeats: int) -> None:
    starts = {stage: [] for stage in LIMITS}
    for _ in range(repeats):
        for stage, found in starts.items():
            found.append(start(stage))
    print("| stage | processor, least | median | clock, least | median | limit |")
    print("|---|---:|---:|---:|---:|---:|")
    for stage, found in starts.items():
        clock, processor = zip(*found, strict=True)
        values = (
            min(processor),
            statistics.median(processor),
            min(clock),
            statistics.median(clock),
        )
        print(f"| `{stage}` | {' | '.join(f'{value:.2f}' for value in values)} | {LIMITS[stage]} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
