"""Train the velocity field on a bank, from where an earlier round left it; resumable."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lirf import augmentation, checkpoint, device, flow, network, seeds, store, training
from lirf import params as settings
from lirf.params import Params
from lirf.space import Space, flat
from lirf.training import Augmented
from stages import command, scratch
from stages.command import Out
from stages.progress import track

CURVE_POINTS = 500

Look = Callable[[training.State], float]
"""The collapse of a state, where one is looked for: else minus infinity, which never stops."""


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

    It ends after the steps of `models.<run>`, or before, when the samples are collapsed onto the
    bank: `train.stop_on` says when. The score is a function of the state and the bank, looked at
    where the steps of all rounds are a multiple of `every`: an interrupted run stops where an
    uninterrupted one does, and two rounds on one bank where one of their length does.

    With `train.augment_share` rows of `augmented` are drawn too. With `train.start: fresh` a model
    of the loop takes no more than the network's kind and size from `start`; its steps are counted
    from 1.

    A checkpoint every `train.checkpoint_every` steps and at the end lies in
    `.scratch/train-<run>/<fingerprint>`, where the fingerprint is of all that the result depends
    on. An interrupted run resumes there, a finished one whose outputs were lost is not repeated,
    and checkpoints of another fingerprint are deleted. SIGINT and SIGTERM leave a checkpoint of
    the step that they find.
    """
    if run not in params.models:
        raise ValueError(f"models.{run} is missing; add `{run}: {{after: ROUND, steps: N}}`")
    where, steps = device.choose(params.device, params.deterministic), params.models[run].steps
    known = store.read_bank(bank)
    begin = checkpoint.load(start, where)
    begin.space.require(known.space, str(bank))
    versions = _read_versions(params, augmented, begin.space, where)
    if params.train.start == "fresh" and run != "baseline":
        (seed,) = seeds.seeds(params.initialize.seed, f"train {run}", 1)
        begin = training.afresh(begin, seed)
    fingerprint = _fingerprint(params, run, bank, augmented, start)
    claimed = scratch.claim(scratch.SCRATCH / f"train-{run}", fingerprint)
    with claimed as folder, command.deferred() as interrupted:
        state, losses = _resume(folder, where) or (begin, [])
        first = state.step - len(losses) + 1
        latents = torch.from_numpy(known.latents).to(where)
        look = _looker(params, known, where)
        real_N = torch.from_numpy(known.real)
        take = partial(
            training.train,
            state,
            latents,
            augmented=versions,
            real_N=real_N,
            interrupted=interrupted,
        )
        work = _optimise(params, state, take, losses, steps, folder, run, look, interrupted)
        try:
            for _ in track(work, steps - len(losses), f"train {run}"):
                pass
        except ValueError as error:
            raise ValueError(f"train {run}: {error}") from None
        checkpoint.save(state, weights)
        _write_curve(loss, first, losses)


def _read_versions(
    params: Params, augmented: Path, space: Space, where: torch.device
) -> Augmented | None:
    """Return the augmented latents and their labels, None where there are none to be drawn.

    Raises:
        ValueError: they are damaged, of another space, or missing though they are to be drawn.
    """
    versions = store.read_latents(augmented)
    space.require(versions.space, str(augmented))
    if not params.train.augment_share:
        return None
    if not len(versions.latents):
        raise ValueError(
            f"{augmented}: empty, but train.augment_share = {params.train.augment_share}; set"
            " encode.augmentation.copies and rerun `dvc repro`"
        )
    labels_AL = np.stack([versions.rows[name].to_numpy() for name in augmentation.LABELS], axis=1)
    return Augmented(
        torch.from_numpy(versions.latents).to(where), torch.from_numpy(labels_AL).to(where)
    )


def _optimise(
    params: Params,
    state: training.State,
    take: Callable[[settings.Train, int], Iterator[tuple[int, float]]],
    losses: list[float],
    steps: int,
    folder: Path,
    run: str,
    look: Look,
    interrupted: Callable[[], int],
) -> Iterator[None]:
    """Extend `losses` to `steps` entries, with a checkpoint at every multiple and at the end.

    Fewer entries where `look` says that the state is collapsed, and then one line of it.

    Raises:
        command.Interrupted: after a checkpoint.
    """
    every, stop = params.train.checkpoint_every, params.train.stop_on
    while len(losses) < steps:
        collapse = look(state)
        if collapse > stop.threshold:
            print(  # noqa: T201
                f"{run}: stopped at step {state.step}, after {len(losses)} of {steps} steps:"
                f" collapse {collapse:.3f} exceeds train.stop_on.threshold = {stop.threshold}",
                file=sys.stderr,
            )
            break
        count = min(every - len(losses) % every, steps - len(losses))
        if stop.rule != "never":
            count = min(count, stop.every - state.step % stop.every)
        for _, value in take(params.train, count):
            losses.append(value)
            yield
        if len(losses) % every == 0 or interrupted():
            _keep(folder, state, losses)
        if interrupted():
            raise command.Interrupted(
                interrupted(),
                f"train {run}: interrupted after {len(losses)} of {steps} steps; `dvc repro` goes"
                " on from there",
            )
    _keep(folder, state, losses)


def _looker(params: Params, known: store.Bank, where: torch.device) -> Look:
    """Return what measures the collapse of a state onto the bank, with the same few samples."""
    stop = params.train.stop_on
    if stop.rule == "never":
        return lambda _: -math.inf
    from lirf import collapse, sampler  # noqa: PLC0415 - FAISS and SciPy, a second to load

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


def _keep(folder: Path, state: training.State, losses: list[float]) -> None:
    """Write a checkpoint, unless it is there."""

    def write(partial: Path) -> None:
        checkpoint.save(state, partial)
        np.save(partial / "loss.npy", np.array(losses, np.float32))

    scratch.keep(folder, len(losses), write)


def _resume(folder: Path, where: torch.device) -> tuple[training.State, list[float]] | None:
    """Return the last checkpoint, if any."""

    def read(found: Path) -> tuple[training.State, list[float]]:
        losses = np.load(found / "loss.npy", allow_pickle=False).tolist()
        return checkpoint.load(found, where), losses

    return scratch.resume(folder, read)


def _fingerprint(params: Params, run: str, bank: Path, augmented: Path, start: Path) -> str:
    """Return a hash of all that the result depends on: numbers, inputs, code.

    The manifests hold checksums of the other files.
    """
    modules = (augmentation, flow, network, seeds, training, checkpoint)
    code = [Path(str(module.__file__)) for module in modules]
    if params.train.stop_on.rule != "never":
        code += [code[0].with_name(f"{name}.py") for name in ("collapse", "neighbours", "sampler")]
    manifests = [*sorted(bank.rglob(store.MANIFEST)), augmented / store.MANIFEST]
    numbers = (params.train.model_dump_json(), params.initialize.seed, params.models[run].steps)
    inputs = [*manifests, start / checkpoint.STATE]
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
