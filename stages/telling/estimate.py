"""How long a run takes on this machine, and what room it needs: a few steps of each part, timed."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lirf.autoencoder import model as ae
from lirf.autoencoder import pretrained, training
from lirf.autoencoder import state as autoencoder_state
from lirf.autoencoder.losses import Eyes
from lirf.densify import rounds
from lirf.features import features
from lirf.features.features import Encoder
from lirf.images import transforms
from lirf.params import Params, load
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import devices, model, state
from lirf.training.batches import Augmented
from lirf.training.model import Rows
from stages.support import autoencoders, checks
from stages.support.checks import Sizes
from stages.telling import pace, plan
from stages.telling.pace import Costs, Pace

TRIED = 16
"""Images that are made up for it, at least."""

STEPS = 3
"""Steps that are timed, after a first one that is not."""


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        pictures: seconds until there are samples of the loop's last model.
        whole: seconds until all is there, the baselines and the page included.
        memory: bytes.
        disk: bytes, at least.
        threads: of the processor that were used; 0 on a GPU.
        pace: what was timed, for the stages to tell how long they take.
    """

    pictures: float
    whole: float
    memory: int
    disk: int
    threads: int
    pace: Pace


def estimate(params: Params, sizes: Sizes, train: int, heldout: int, start: float) -> Estimate:
    """Time a few steps of each part on images that are made up, and add up.

    `start` is how many seconds the process of a stage takes before it does anything.

    Raises:
        ValueError: the numbers do not suit one another, or weights are missing.
    """
    where = devices.of(params)
    known = Pace(pace.key(params, train, heldout), _measure(params, where, start), train, heldout)
    graph = plan.needs(plan.read(params.model_dump(mode="json", by_alias=True)))
    seconds = known.seconds(params, graph)
    first = plan.upstream([f"evaluate@{params.final}"], graph)
    return Estimate(
        sum(seconds[name] for name in first),
        sum(seconds.values()),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        checks.least_bytes(params, sizes, train),
        0 if where.type == "cuda" else torch.get_num_threads(),
        known,
    )


def main() -> None:
    """Print the line of `tell` for the current folder, with images as `prepare` counted them.

    What was timed is kept.
    """
    imported = time.process_time()  # as a stage does, before it does anything
    train, heldout = map(int, sys.argv[1:])
    params = load(Path("params.yaml"))
    found = estimate(params, checks.sizes(params), train, heldout, imported)
    pace.write(found.pace)
    print(tell(found))  # noqa: T201


def tell(found: Estimate) -> str:
    """Say how long a run takes, and what room it needs."""
    where = f"{found.threads} threads" if found.threads else "the GPU"
    return (
        f"about {_time(found.pictures)} until there are pictures, {_time(found.whole)} in all, on"
        f" {where} of this machine as busy as it is now; {found.memory / 1e9:.1f} GB of memory, at"
        f" least {found.disk / 1e9:.2f} GB of disk"
    )


def _time(seconds: float) -> str:
    """Return seconds in minutes, or in hours from two of them on."""
    minutes = seconds / 60
    return f"{max(1, round(minutes))} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _measure(params: Params, where: torch.device, start: float) -> Costs:
    """Time what a run does most of, each on this machine and with the numbers of `params`."""
    config, channels = params.autoencoder, checks.image_channels(params)
    resolution = params.prepare.resolution
    make = ae.build if config.pretrained is None else pretrained.load
    framed = make(config, channels, resolution)
    count = max(TRIED, config.batch, config.manifold_neighbours + 2)
    images_NCHW = _made_up(count, channels, resolution)
    seen = params.evaluate.features
    eyes = autoencoders.eyes(
        config, where, vision_too=seen == "vision", imagenet_too=seen == "imagenet"
    )
    fit = _fit_step(params, framed, images_NCHW, eyes) if config.trains else 0.0
    framed = ae.Framed(ae.to(framed.model, where).eval(), framed.frame)
    known = ae.Autoencoder(framed.model, framed.frame, "")
    raw_NCHW = ae.encode(known, images_NCHW, TRIED, where)
    space = Space.measure(raw_NCHW, "")
    random = np.random.default_rng(0)
    views = [transforms.draw(params.encode.augmentation, random) for _ in range(count)]
    view = _each(lambda: transforms.apply(images_NCHW, views), count)
    encode = _each(lambda: ae.encode(known, images_NCHW, TRIED, where), count)
    z_NCHW = space.scale(raw_NCHW)
    decode = _each(lambda: ae.decode(known, z_NCHW, space, TRIED, where), count)
    encoder = Encoder("", lambda pixels: space.scale(ae.encode(known, pixels, TRIED, where)))
    extract = (
        eyes.imagenet.extract
        if seen == "imagenet" and eyes.imagenet is not None
        else features.of(seen, encoder, eyes.vision, TRIED, where).extract
    )
    see = _each(lambda: extract(images_NCHW), count)
    step, call = _network(params, z_NCHW, space, where)
    return Costs(start, fit, view, encode, decode, see, step, call)


def _made_up(count: int, channels: int, resolution: int) -> np.ndarray:
    """Return smooth random images, uint8 [count, channels, resolution, resolution]."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, channels, 4, 4), dtype=np.uint8)
    fine = torch.nn.functional.interpolate(torch.from_numpy(coarse).float(), resolution)
    return fine.to(torch.uint8).numpy()


def _fit_step(params: Params, framed: ae.Framed, images_NCHW: np.ndarray, eyes: Eyes) -> float:
    """Return the seconds of a step of the autoencoder's training."""
    config, where = params.autoencoder.model_copy(update={"holdout": 0.0}), devices.of(params)
    begun = autoencoder_state.initial(config, framed, where, eyes)
    examples = training.gather(config, images_NCHW, np.arange(len(images_NCHW)))
    return _steps(lambda count: training.train(begun, examples, config, count, eyes))


def _network(
    params: Params, z_NCHW: np.ndarray, space: Space, where: torch.device
) -> tuple[float, float]:
    """Return the seconds of a step of the network, and of an evaluation for a sample."""
    labels = len(transforms.LABELS) if params.train.augment_share else 0
    begun = state.initial(params.initialize, space, where, labels)
    views = Augmented(
        torch.from_numpy(z_NCHW).to(where), torch.zeros(len(z_NCHW), labels, device=where)
    )
    bank = rounds.begin(z_NCHW, space)
    rows = Rows(bank.latents, bank.real, bank.groups, views if labels else None)
    config = params.train.model_copy(update={"compile": False, "processes": 1})
    schedule = model.schedule(params.models[params.final], 0)
    step = _steps(lambda count: model.train(begun, rows, config, count, schedule))
    few = params.sample.model_copy(update={"solver": "euler", "steps": 2, "batch": TRIED})
    seeds = sampler.seeds(0, "estimate", 2 * TRIED)

    def draw() -> None:
        for _ in sampler.sample(begun.field, seeds, space.shape, few, where):
            pass

    return step, _each(draw, few.steps * len(seeds))


def _steps(train: Callable[[int], object]) -> float:
    """Return the seconds of a step of what takes so many, after a first one."""

    def take(count: int) -> None:
        for _ in train(count):  # pyright: ignore - an iterator of losses
            pass

    take(1)
    return _seconds(lambda: take(STEPS)) / STEPS


def _each(run: Callable[[], object], count: int) -> float:
    """Return the seconds for one of `count`, of the quicker of two tries."""
    return min(_seconds(run), _seconds(run)) / count


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
