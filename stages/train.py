"""Train the velocity field on a bank, from where an earlier round left it; resumable."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from lirf import checkpoint, device, flow, network, store, training
from lirf.params import Params
from stages import command
from stages.command import Out
from stages.progress import track

SCRATCH = Path(".scratch")  # in the current folder; DVC does not know it
CURVE_POINTS = 500


def train(params: Params, run: str, bank: Path, start: Path, weights: Out, loss: Out) -> None:
    """Train on `bank` from the state in `start`; write the new state and the loss curve.

    A checkpoint every `train.checkpoint_every` steps and at the end lies in
    `.scratch/train-<run>/<fingerprint>`, where the fingerprint is of all that the result depends
    on. An interrupted run resumes there, a finished one whose outputs were lost is not repeated,
    and checkpoints of another fingerprint are deleted.
    """
    if run not in params.models:
        raise ValueError(f"models.{run} is missing; add `{run}: {{after: ROUND, steps: N}}`")
    where, steps = device.choose(params.device), params.models[run].steps
    known = store.read_bank(bank)
    begin = checkpoint.load(start, where)
    begin.space.require(known.space, str(bank))
    with _claim(SCRATCH / f"train-{run}", _fingerprint(params, run, bank, start)) as scratch:
        state, losses = _resume(scratch, where) or (begin, [])
        first = state.step - len(losses) + 1
        latents = torch.from_numpy(known.latents).to(where)
        work = _optimise(params, state, latents, losses, steps, scratch)
        try:
            for _ in track(work, steps - len(losses), f"train {run}"):
                pass
        except ValueError as error:
            raise ValueError(f"{run}: {error}") from None
        checkpoint.save(state, weights)
        _write_curve(loss, first, losses)


def _optimise(
    params: Params,
    state: training.State,
    latents: torch.Tensor,
    losses: list[float],
    steps: int,
    scratch: Path,
) -> Iterator[None]:
    """Extend `losses` to `steps` entries, with a checkpoint at every multiple and at the end."""
    every = params.train.checkpoint_every
    while len(losses) < steps:
        count = min(every - len(losses) % every, steps - len(losses))
        for _, value in training.train(state, latents, params.train, count):
            losses.append(value)
            yield
        _keep(scratch, state, losses)


@contextmanager
def _claim(parent: Path, fingerprint: str) -> Iterator[Path]:
    """Give the scratch folder of `fingerprint`, alone in `parent`, to this process only.

    Raises:
        ValueError: another process, perhaps orphaned by a killed `dvc`, works there.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{parent}: another process is at work there; wait for it or end it"
            ) from None
        for stale in parent.iterdir():
            if stale.is_dir() and stale.name != fingerprint:
                shutil.rmtree(stale)
        scratch = parent / fingerprint
        scratch.mkdir(exist_ok=True)
        yield scratch


def _keep(scratch: Path, state: training.State, losses: list[float]) -> None:
    """Write a checkpoint by one rename, then drop the earlier ones."""
    partial, final = scratch / "partial", scratch / f"step-{len(losses):09d}"
    shutil.rmtree(partial, ignore_errors=True)
    checkpoint.save(state, partial)
    np.save(partial / "loss.npy", np.array(losses, np.float32))
    partial.rename(final)
    for earlier in scratch.glob("step-*"):
        if earlier != final:
            shutil.rmtree(earlier)


def _resume(scratch: Path, where: torch.device) -> tuple[training.State, list[float]] | None:
    """Return the last checkpoint that can be read, if any; delete those that cannot."""
    for folder in sorted(scratch.glob("step-*"), reverse=True):
        try:
            losses = np.load(folder / "loss.npy", allow_pickle=False).tolist()
            return checkpoint.load(folder, where), losses
        except (ValueError, OSError):  # a disk that lost power in mid-write
            shutil.rmtree(folder)
    return None


def _fingerprint(params: Params, run: str, bank: Path, start: Path) -> str:
    """Return a hash of all that the result depends on: numbers, inputs, code.

    The manifests hold checksums of the other files.
    """
    code = [Path(str(module.__file__)) for module in (flow, network, training, checkpoint)]
    manifests = sorted(bank.rglob(store.MANIFEST))
    digest = hashlib.sha256(
        f"{params.train.model_dump_json()} {params.models[run].steps} {torch.__version__}".encode()
    )
    for path in [*manifests, start / checkpoint.STATE, *code]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write_curve(path: Path, first: int, losses: list[float]) -> None:
    """Write (step, loss) as TSV: means over at most `CURVE_POINTS` bins, at their last step."""
    bins = np.array_split(np.array(losses, np.float64), min(CURVE_POINTS, len(losses)))
    last = first - 1 + np.cumsum([len(values) for values in bins])
    lines = [f"{step}\t{values.mean():.6g}" for step, values in zip(last, bins, strict=True)]
    path.write_text("\n".join(["step\tloss", *lines]) + "\n")


if __name__ == "__main__":
    command.run(train)
