"""How long a run takes on this machine, and what room it needs: a few steps of each part, timed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lirf.autoencoder import aside, pretrained, training
from lirf.autoencoder import model as ae
from lirf.autoencoder import state as autoencoder_state
from lirf.autoencoder.losses import Eyes
from lirf.densify import rounds
from lirf.features import features
from lirf.features.features import Encoder
from lirf.images import transforms
from lirf.params import Params
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import devices, model, state
from lirf.training.batches import Augmented
from lirf.training.model import Rows
from stages.support import autoencoders, checks
from stages.support.checks import Sizes

TRIED = 16
"""Images that are made up for it, at least."""

STEPS = 3
"""Steps that are timed, after a first one that is not."""

EVALUATIONS = {"euler": 1, "heun": 2, "midpoint": 2, "dopri5": 12}
"""Of the network for an interval; of dopri5 for a whole sample, in `sample.steps`, at a guess."""

VERSIONS = 4
"""Of every training image that samples are held against: itself, mirrored, both decoded."""


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine, each for one: step, image, or sample and evaluation."""

    start: float  # of a stage's process
    fit: float  # step of the autoencoder
    encode: float
    decode: float
    see: float  # features of an image
    step: float  # of the network
    call: float  # evaluation of the network for a sample


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        pictures: seconds until there are samples of the loop's last model.
        whole: seconds until all is there, the baselines and the page included.
        memory: bytes.
        disk: bytes, at least.
        threads: of the processor that were used; 0 on a GPU.
    """

    pictures: float
    whole: float
    memory: int
    disk: int
    threads: int


def estimate(params: Params, sizes: Sizes, train: int, heldout: int, start: float) -> Estimate:
    """Time a few steps of each part on images that are made up, and add up.

    `start` is how many seconds the process of a stage takes before it does anything.

    Raises:
        ValueError: the numbers do not suit one another, or weights are missing.
    """
    where = devices.of(params)
    costs = _measure(params, where, start)
    once, model_, images = _stages(params, costs, train, heldout)
    pictures = once + sum(model_(name) for name in params.loop) + images
    evaluations = len(params.models) - 1
    whole = once + sum(map(model_, params.models)) + images * (1 + evaluations)
    whole += len(params.models) * _diagnosis(params, costs) + 3 * costs.start
    return Estimate(
        pictures,
        whole,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        checks.least_bytes(params, sizes, train),
        0 if where.type == "cuda" else torch.get_num_threads(),
    )


def _stages(
    params: Params, costs: Costs, train: int, heldout: int
) -> tuple[float, Callable[[str], float], float]:
    """Return the seconds before any training, of a model with its round, and of an evaluation."""
    config, calls = params.autoencoder, params.sample.steps * EVALUATIONS[params.sample.solver]
    real = train * (2 if params.prepare.flip else 1)
    both = costs.encode + costs.decode
    looks = aside.LOOKS * aside.count(real, config.holdout) * (both + costs.see)
    fit = config.steps * costs.fit + looks if config.trains else 0.0
    views = real * (1 + params.encode.augmentation.views) * costs.encode
    once = 4 * costs.start + fit + (real + heldout) * (both + costs.encode) + views

    def of_model(name: str) -> float:
        drawn = params.sample.ratio * real * calls * costs.call
        densify = drawn + 4 * costs.start if name in params.rounds else 0.0
        return costs.start + params.models[name].steps * costs.step + densify

    samples = params.evaluate.samples
    evaluate = samples * (calls * costs.call + costs.decode) + 2 * train * both
    seen = (samples + heldout + VERSIONS * train) * costs.see
    return once, of_model, costs.start + evaluate + seen


def _diagnosis(params: Params, costs: Costs) -> float:
    numbers = params.diagnose
    return costs.start + numbers.samples * numbers.path_steps * costs.call


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
    return Costs(start, fit, encode, decode, see, step, call)


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
