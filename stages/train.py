"""Train the velocity field on a bank, from where an earlier round left it; resumable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lirf.images import transforms
from lirf.params import Params
from lirf.store import banks, parts
from lirf.store.space import Space
from lirf.training import checkpoint, devices, model, parallel
from lirf.training.batches import Augmented, Share
from lirf.training.model import Hooks, Rows
from lirf.training.state import State
from stages.support import command, resumable, scratch
from stages.support.command import Out
from stages.support.resumable import Losses, Resumable
from stages.telling.progress import track


@dataclass(frozen=True)
class Job:
    """What `train` is asked for, as other processes are told it too."""

    params: Params
    run: str
    bank: Path
    augmented: Path
    start: Path
    weights: Path
    loss: Path

    @property
    def steps(self) -> int:
        """Return how many steps to take."""
        return self.params.models[self.run].steps


@dataclass(frozen=True)
class Place:
    """A process's own: its scratch, when to stop, and what it shares with others, if any.

    Of several only the first writes, and tells of progress.
    """

    folder: Path
    interrupted: Callable[[], int]
    agree: parallel.Agree = int
    share: Share | None = None

    @property
    def first(self) -> bool:
        """Return whether this is the first process."""
        return self.share is None or self.share.place == 0


def train(
    params: Params,
    run: str,
    bank: Path,
    augmented: Path,
    start: Path,
    weights: Out,
    loss: Out,
) -> None:
    """Train on `bank` from the state in `start`; write the new state and the loss curve.

    It ends after the steps of `models.<run>`, over the last `cooldown` of which the learning rate
    falls to zero, or before, when the samples are collapsed onto the bank: `train.stop_on` says
    when, and two rounds on one bank stop where one of their length does.

    With `train.augment_share` rows of `augmented` are drawn too. With `train.start: fresh` a model
    of the loop takes no more than the network's kind and size from `start`; its steps are counted
    from 1.

    A checkpoint every `train.checkpoint_every` steps and at the end lies in
    `.scratch/train-<run>/<fingerprint>`, where the fingerprint is of all that the result depends
    on. An interrupted run resumes there, a finished one whose outputs were lost is not repeated,
    and checkpoints of another fingerprint are deleted. SIGINT and SIGTERM leave a checkpoint of
    the step that they find.

    With `train.processes` so many processes share every batch; this one waits for them.
    """
    if run not in params.models:
        line = f"{run}: {{role: loop, after: ROUND, steps: N, cooldown: 0}}"
        raise ValueError(f"models.{run} is missing; add `{line}`")
    job = Job(params, run, bank, augmented, start, weights, loss)
    where = devices.of(params)
    alone = params.train.processes == 1
    begin, rows = _read(job, where if alone else torch.device("cpu"))
    claimed = scratch.claim(scratch.SCRATCH / f"train-{run}", _fingerprint(job))
    with claimed as folder, command.deferred() as interrupted:
        try:
            if alone:
                taken = _fit(job, begin, rows, Place(folder, interrupted))
            else:
                count = params.train.processes
                taken = parallel.run(_fit_share, (job, folder), count, where, interrupted)
        except ValueError as error:
            raise ValueError(f"train {run}: {error}") from None
        if taken is not None:
            raise command.unfinished(interrupted(), f"train {run}", taken, job.steps)


def _read(job: Job, where: torch.device) -> tuple[State, Rows]:
    """Read the state to start from, and the bank and the augmented latents to train it on.

    Raises:
        ValueError: one is damaged, or of another space.
    """
    found = checkpoint.load(job.start, where)
    known = banks.read(job.bank, space=found.space)
    views = _read_views(job.params, job.augmented, found.space, where)
    begin = model.begin(found, job.params, job.run)
    return begin, Rows(known.latents, known.real, known.groups, views)


def _read_views(
    params: Params, augmented: Path, space: Space, where: torch.device
) -> Augmented | None:
    """Return the augmented latents and their labels, None where there are none to be drawn.

    Raises:
        ValueError: they are damaged, of another space, or missing though they are to be drawn.
    """
    views = banks.read_latents(augmented, space=space)
    if not params.train.augment_share:
        return None
    if not len(views.latents):
        raise ValueError(
            f"{augmented}: empty, but train.augment_share = {params.train.augment_share}; set"
            " encode.augmentation.views and rerun `dvc repro`"
        )
    labels_AL = np.stack([views.rows[name].to_numpy() for name in transforms.LABELS], axis=1)
    return Augmented(
        torch.from_numpy(views.latents).to(where), torch.from_numpy(labels_AL).to(where)
    )


def _fit_share(
    share: Share,
    agree: parallel.Agree,
    interrupted: Callable[[], int],
    job: Job,
    folder: Path,
) -> int | None:
    """Do what `_fit` does, as one of several processes."""
    begin, rows = _read(job, devices.of(job.params))
    return _fit(job, begin, rows, Place(folder, interrupted, agree, share))


def _fit(job: Job, begin: State, rows: Rows, place: Place) -> int | None:
    """Train, and write the result; where interrupted, return the steps of the checkpoint instead.

    Raises:
        ValueError: a loss is not finite.
    """
    if not place.first:
        place.agree(0)  # until the first has dropped the checkpoints that cannot be read
    config, line = model.config(job.params, job.run), job.params.models[job.run]
    save = checkpoint.save if place.first else None
    cut = Resumable(place.folder, begin, line.steps, config.checkpoint_every, save)
    cut.resume(lambda found: checkpoint.load(found, begin.device))
    if place.first:
        place.agree(0)
    before = cut.state.step - len(cut.curve)
    schedule = model.schedule(line, before)

    def stopped(collapse: float) -> None:
        if place.first:
            _say_stopped(job, cut.state.step, len(cut.curve), collapse)

    hooks = Hooks(place.interrupted, stopped, place.share, place.agree)

    def advance(due: int) -> Iterator[Losses]:
        for loss in model.train(cut.state, rows, config, due, schedule, hooks):
            yield {"loss": loss}

    work = cut.run(advance, place.interrupted)
    begun = len(cut.curve)
    shown = track(work, line.steps, f"train {job.run}", begun, cut.loss) if place.first else work
    for _ in shown:
        pass
    if place.interrupted():
        return len(cut.curve)
    if place.first:
        checkpoint.save(cut.state, job.weights)
        resumable.write_curve(job.loss, cut.curve, ["loss"], before)
    return None


def _say_stopped(job: Job, step: int, taken: int, collapse: float) -> None:
    threshold = job.params.train.stop_on.threshold
    print(  # noqa: T201
        f"{job.run}: stopped at step {step}, after {taken} of {job.steps} steps:"
        f" collapse {collapse:.3f} exceeds train.stop_on.threshold = {threshold}",
        file=sys.stderr,
    )


def _fingerprint(job: Job) -> str:
    """Return a hash of all that the result depends on: parts by what their manifests say."""
    manifests = [*sorted(job.bank.rglob(parts.MANIFEST)), job.augmented / parts.MANIFEST]
    config, line = job.params.train, job.params.models[job.run]
    numbers = (config.model_dump_json(), job.params.initialize.seed, line.model_dump_json())
    return scratch.fingerprint("train", numbers, [*manifests, job.start / checkpoint.STATE])


if __name__ == "__main__":
    command.run(train)
