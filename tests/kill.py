"""Kill a run of a tiny project again and again, and compare what it ends with: `--help`.

A run of `dvc repro` is killed with SIGKILL at a random moment, either its whole process group, as a
machine that fails does it, or DVC alone, as the kernel does it when memory is short. Then it is
started again, until it ends by itself: every output hash in dvc.lock must be that of a run that
nobody disturbed, and nothing may be left over. Then a new project begins.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parent))

from tiny import DVC, TINY, environment, hashes, make_project

TARGETS = ("report", "page", "publish")  # all but the bundled images, which are not of the loop
STEPS = {"r01": ("r00", 300), "final": ("r01", 300), "baseline": ("r00", 600)}
CHANGES = {
    **TINY,
    "autoencoder": {**TINY["autoencoder"], "steps": 60},
    "train": {**TINY["train"], "checkpoint_every": 40},
    "models": {
        name: {
            "role": "baseline" if name == "baseline" else "loop",
            "after": after,
            "steps": steps,
            "cooldown": 0,
        }
        for name, (after, steps) in STEPS.items()
    },
}
LOG = "repro.log"
ENDING_S = 10.0  # what a stage may take to write a checkpoint after DVC is gone

REMEDIES = {  # docs/faults.md: what DVC says of a file that it was writing when it was killed
    "RWLock-file": ".dvc/tmp/rwlock",
    "'dvc.lock' is invalid": "dvc.lock",
    "unable to read: 'dvc.lock'": "dvc.lock",
}


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)  # by who was killed
    during: Counter[str] = field(default_factory=Counter)  # by the stage that was at work
    remedies: Counter[str] = field(default_factory=Counter)  # files removed as docs/faults.md says
    passes: int = 0
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"kills: {self.kills.total()} ({_counts(self.kills)})",
            f"  during: {_counts(self.during)}",
            f"runs that ended by themselves: {self.passes}; hashes compared: {self.compared}",
            f"files removed by hand: {_counts(self.remedies) or 'none'}",
            f"wrong: {len(self.wrong)}",
            *(f"  {line}" for line in self.wrong),
        ]
        return "\n".join(lines)


def campaign(
    project: Path,
    targets: tuple[str, ...],
    expected: Mapping[str, str],
    kills: int,
    draw: random.Random,
    longest_s: float,
    tally: Tally,
) -> None:
    """Run `targets` to their end, killing up to `kills` times, and add what happened to `tally`.

    A kill comes after 0.2 s to `longest_s`.
    """
    log = project / LOG
    left = kills
    while True:
        began = log.stat().st_size if log.exists() else 0
        with running(project, targets, log) as process:
            if left and not _ends(process, draw.uniform(0.2, longest_s)):
                left -= 1
                whom = draw.choice(["all", "dvc"])
                tally.kills[whom] += 1
                tally.during[_stage(log, began)] += 1
                _kill(process, whom)
                left_over = survivors(process.pid)
                tally.wrong += [f"survived the end of DVC: {one}" for one in left_over]
                continue
            process.wait()
        if process.returncode == 0:
            break
        said = log.read_text(errors="replace")[began:]
        cure = next((path for sign, path in REMEDIES.items() if sign in said), None)
        if cure is None or not (project / cure).exists():
            tally.wrong.append(f"a run failed:\n{said[-3000:]}")
            return
        tally.remedies[cure] += 1
        (project / cure).unlink()
    tally.passes += 1
    found = hashes(project)
    tally.compared += len(expected)
    tally.wrong += [
        f"{path}: {found.get(path)} is not {expected.get(path)}"
        for path in sorted(found.keys() | expected.keys())
        if found.get(path) != expected.get(path)
    ]
    tally.wrong += [f"left over: {path}" for path in leftovers(project)]


def begin(calm: Path, project: Path, keep: Collection[str]) -> None:
    """Make a project that has yet to run, or has the results of stages `keep` of `calm`."""
    if not keep:
        make_project(project, CHANGES)
        return
    shutil.copytree(calm, project, symlinks=True, ignore=shutil.ignore_patterns(LOG, ".scratch"))
    lock = YAML(typ="safe").load(project / "dvc.lock")
    for name in lock["stages"].keys() - set(keep):
        for out in lock["stages"].pop(name)["outs"]:
            path = project / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    YAML(typ="safe").dump(lock, project / "dvc.lock")
    shutil.rmtree(project / ".dvc" / "cache" / "runs")


@contextlib.contextmanager
def running(project: Path, targets: tuple[str, ...], log: Path) -> Iterator[subprocess.Popen]:
    """Run `dvc repro` in a session of its own, writing to the end of `log`."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*DVC, "repro", *targets],
            cwd=project,
            env=environment(project.with_name(f"{project.name}-dvc")),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def leftovers(project: Path) -> list[str]:
    """Return the files of a finished run that no stage of dvc.lock has made."""
    made = [project / path for path in hashes(project)]
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    return [
        str(path)
        for path in [*files, *project.glob(".scratch/**/partial")]
        if path.name != ".gitignore" and not any(path.is_relative_to(out) for out in made)
    ]


def _ends(process: subprocess.Popen, seconds: float) -> bool:
    """Return whether the process ends within that time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def _kill(process: subprocess.Popen, whom: str) -> None:
    if whom == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def survivors(session: int, seconds: float = ENDING_S) -> list[str]:
    """Return the processes of a session that are still there after that time."""
    deadline = time.monotonic() + seconds
    while True:
        alive = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == session and process.status() != "zombie":
                    alive.append(" ".join(process.cmdline()))
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def _stage(log: Path, began: int) -> str:
    """Return the stage that a log names last."""
    lines = log.read_bytes()[began:].decode(errors="replace").splitlines()
    named = [line.split("'")[1] for line in lines if line.startswith("Running stage '")]
    return named[-1] if named else "before any stage"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="[50]")
    parser.add_argument("--each", type=int, default=15, help="most kills of one project [15]")
    parser.add_argument(
        "--longest", type=float, help="s before a kill, at most [a tenth of the undisturbed run]"
    )
    parser.add_argument("--minutes", type=float, default=60, help="no new project after [60]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    parser.add_argument("--folder", type=Path, required=True, help="new folder to work in")
    parser.add_argument("--keep", nargs="*", default=[], help="stages that need not run again")
    parser.add_argument("--calm", type=Path, help="undisturbed project of an earlier call")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    calm = options.calm or make_project(options.folder / "calm", CHANGES)
    began = time.monotonic()
    with running(calm, TARGETS, calm / LOG) as process:
        assert process.wait() == 0, (calm / LOG).read_text()
    whole_s = time.monotonic() - began
    longest_s = options.longest or whole_s / 10
    expected, tally, draw = hashes(calm), Tally(), random.Random(options.seed)
    while tally.kills.total() < options.kills and time.monotonic() < began + 60 * options.minutes:
        project = options.folder / f"killed-{tally.passes}"
        begin(calm, project, options.keep)
        kills = min(options.each, options.kills - tally.kills.total())
        campaign(project, TARGETS, expected, kills, draw, longest_s, tally)
        print(f"{tally}\n", flush=True)  # noqa: T201
        if tally.wrong:
            break
        shutil.rmtree(project)
    took = (time.monotonic() - began) / 60
    print(f"undisturbed {whole_s:.0f} s; all {took:.0f} min; seed {options.seed}\n{tally}")  # noqa: T201
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
