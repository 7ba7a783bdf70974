"""Train the velocity field on a bank, from where an earlier round left it; resumable."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lirf.images import transforms
from lirf.networks import network
from lirf.objectives import flow
from lirf.params import Params
from lirf.sampling import seeds
from lirf.store import banks, parts
from lirf.store.space import Space, flat
from lirf.training import batches, checkpoint, compiling, device, parallel, training
from lirf.training.batches import Augmented, Share
from stages.support import command, scratch
from stages.support.command import Out
from stages.support.progress import track

CURVE_POINTS = 500

Look = Callable[[training.State], float]
"""The collapse of a state, where one is looked for: else minus infinity, which never stops."""


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
class Given:
    """What training starts from, read and checked."""

    begin: training.State
    known: banks.Bank
    versions: Augmented | None


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
    when. The score is a function of the state and the bank, looked at where the steps of all
    rounds are a multiple of `every`: an interrupted run stops where an uninterrupted one does, and
    two rounds on one bank where one of their length does.

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
        raise ValueError(f"models.{run} is missing; add `{run}: {{after: ROUND, steps: N}}`")
    job = Job(params, run, bank, augmented, start, weights, loss)
    where = device.of(params)
    alone = params.train.processes == 1
    given = _read(job, where if alone else torch.device("cpu"))
    claimed = scratch.claim(scratch.SCRATCH / f"train-{run}", _fingerprint(job))
    with claimed as folder, command.deferred() as interrupted:
        try:
            if alone:
                taken = _fit(job, given, Place(folder, interrupted))
            else:
                count = params.train.processes
                taken = parallel.run(_fit_share, (job, folder), count, where, interrupted)
        except ValueError as error:
            raise ValueError(f"train {run}: {error}") from None
        if taken is not None:
            raise command.unfinished(interrupted(), f"train {run}", taken, job.steps)


def _read(job: Job, where: torch.device) -> Given:
    """Read the bank, the augmented latents and the state to start from.

    Raises:
        ValueError: one is damaged, or of another space.
    """
    known = banks.read(job.bank)
    begin = checkpoint.load(job.start, where)
    begin.space.require(known.space, str(job.bank))
    versions = _read_versions(job.params, job.augmented, begin.space, where)
    if job.params.train.start == "fresh" and job.run != "baseline":
        (seed,) = seeds.seeds(job.params.initialize.seed, f"train {job.run}", 1)
        begin = training.afresh(begin, seed)
    return Given(begin, known, versions)


def _fit_share(
    share: Share,
    agree: parallel.Agree,
    interrupted: Callable[[], int],
    job: Job,
    folder: Path,
) -> int | None:
    """Do what `_fit` does, as one of several processes."""
    where = device.of(job.params)
    return _fit(job, _read(job, where), Place(folder, interrupted, agree, share))


def _fit(job: Job, given: Given, place: Place) -> int | None:
    """Train, and write the result; where interrupted, return the steps of the checkpoint instead.

    Raises:
        ValueError: a loss is not finite.
    """
    where = next(given.begin.network.parameters()).device
    if not place.first:
        place.agree(0)  # until the first has dropped the checkpoints that cannot be read
    state, losses = _resume(place.folder, where) or (given.begin, [])
    if place.first:
        place.agree(0)
    first = state.step - len(losses) + 1
    work = _optimise(job, given, place, state, losses)
    label = f"train {job.run}"
    for _ in track(work, job.steps - len(losses), label) if place.first else work:
        pass
    if place.interrupted():
        return len(losses)
    if place.first:
        checkpoint.save(state, job.weights)
        _write_curve(job.loss, first, losses)
    return None


def _read_versions(
    params: Params, augmented: Path, space: Space, where: torch.device
) -> Augmented | None:
    """Return the augmented latents and their labels, None where there are none to be drawn.

    Raises:
        ValueError: they are damaged, of another space, or missing though they are to be drawn.
    """
    versions = banks.read_latents(augmented)
    space.require(versions.space, str(augmented))
    if not params.train.augment_share:
        return None
    if not len(versions.latents):
        raise ValueError(
            f"{augmented}: empty, but train.augment_share = {params.train.augment_share}; set"
            " encode.augmentation.views and rerun `dvc repro`"
        )
    labels_AL = np.stack([versions.rows[name].to_numpy() for name in transforms.LABELS], axis=1)
    return Augmented(
        torch.from_numpy(versions.latents).to(where), torch.from_numpy(labels_AL).to(where)
    )


def _optimise(
    job: Job, given: Given, place: Place, state: training.State, losses: list[float]
) -> Iterator[None]:
    """Extend `losses` to `job.steps` entries, with a checkpoint at every multiple and at the end.

    Fewer entries where the state is collapsed, and then one line of it, or after an interruption.
    """
    config = job.params.train
    every, stop = config.checkpoint_every, config.stop_on
    where = next(state.network.parameters()).device
    latents_NCHW = torch.from_numpy(given.known.latents).to(where)
    real_N = torch.from_numpy(given.known.real)
    look = _looker(job.params, given.known, where)
    last = state.step - len(losses) + job.steps
    rate = training.cooldown(last, job.params.models[job.run].cooldown)
    while len(losses) < job.steps:
        collapse = look(state)
        if place.agree(collapse > stop.threshold):
            if place.first:
                _say_stopped(job, state, losses, collapse)
            break
        count = min(every - len(losses) % every, job.steps - len(losses))
        if stop.rule != "never":
            count = min(count, stop.every - state.step % stop.every)
        steps = training.train(
            state,
            latents_NCHW,
            config,
            count,
            given.versions,
            real_N,
            rate,
            place.interrupted,
            place.share,
        )
        for _, value in steps:
            losses.append(value)
            yield
        if place.interrupted():
            break
        if len(losses) % every == 0:
            _keep(place, state, losses)
    _keep(place, state, losses)


def _say_stopped(job: Job, state: training.State, losses: list[float], collapse: float) -> None:
    threshold = job.params.train.stop_on.threshold
    print(  # noqa: T201
        f"{job.run}: stopped at step {state.step}, after {len(losses)} of {job.steps} steps:"
        f" collapse {collapse:.3f} exceeds train.stop_on.threshold = {threshold}",
        file=sys.stderr,
    )


def _looker(params: Params, known: banks.Bank, where: torch.device) -> Look:
    """Return what measures the collapse of a state onto the bank, with the same few samples."""
    stop = params.train.stop_on
    if stop.rule == "never":
        return lambda _: -math.inf
    from lirf.measure import collapse  # noqa: PLC0415 - FAISS, a second to load
    from lirf.sampling import sampler  # noqa: PLC0415 - SciPy

    seeds_M = seeds.seeds(0, "stop", stop.samples)
    noise_MCHW = sampler.noise(seeds_M, known.space.shape).to(where)
    anchors_ND, group_N = flat(known.latents), known.groups
    own = collapse.own_nearness(anchors_ND, group_N)

    def look(state: training.State) -> float:
        if state.step == 0 or state.step % stop.every:
            return -math.inf
        field = training.ema_field(state)
        ends_MCHW = collapse.ends(field, noise_MCHW, stop.path_steps, params.train.batch)
        ends_MD = ends_MCHW.flatten(1).numpy()
        return collapse.score(collapse.nearness(ends_MD, anchors_ND, group_N), own)

    return look


def _keep(place: Place, state: training.State, losses: list[float]) -> None:
    """Write a checkpoint, unless it is there, or it is another process that does."""
    if not place.first:
        return

    def write(partial: Path) -> None:
        checkpoint.save(state, partial)
        np.save(partial / "loss.npy", np.array(losses, np.float32))

    scratch.keep(place.folder, len(losses), write)


def _resume(folder: Path, where: torch.device) -> tuple[training.State, list[float]] | None:
    """Return the last checkpoint, if any."""

    def read(found: Path) -> tuple[training.State, list[float]]:
        losses = np.load(found / "loss.npy", allow_pickle=False).tolist()
        return checkpoint.load(found, where), losses

    return scratch.resume(folder, read)


def _fingerprint(job: Job) -> str:
    """Return a hash of all that the result depends on: numbers, inputs, code.

    The manifests hold checksums of the other files.
    """
    config = job.params.train
    modules = (transforms, batches, compiling, flow, network, seeds, training, checkpoint)
    code = [Path(str(module.__file__)) for module in modules]
    if config.stop_on.rule != "never":
        code += [code[0].with_name(f"{name}.py") for name in ("collapse", "neighbours", "sampler")]
    if config.processes > 1:
        code.append(Path(str(parallel.__file__)))
    manifests = [*sorted(job.bank.rglob(parts.MANIFEST)), job.augmented / parts.MANIFEST]
    model = job.params.models[job.run]
    numbers = (config.model_dump_json(), job.params.initialize.seed, model.model_dump_json())
    inputs = [*manifests, job.start / checkpoint.STATE]
    return scratch.fingerprint((*numbers, torch.__version__), [*inputs, *code])


def _write_curve(path: Path, first: int, losses: list[float]) -> None:
    """Write (step, loss) as TSV: means over at most `CURVE_POINTS` bins, at their last step.

    A run that stopped where it began has no steps, and its curve no rows.
    """
    if not losses:
        path.write_text("step\tloss\n")
        return
    bins = np.array_split(np.array(losses, np.float64), min(CURVE_POINTS, len(losses)))
    last = first - 1 + np.cumsum([len(values) for values in bins])
    lines = [f"{step}\t{values.mean():.6g}" for step, values in zip(last, bins, strict=True)]
    path.write_text("\n".join(["step\tloss", *lines]) + "\n")


if __name__ == "__main__":
    command.run(train)
