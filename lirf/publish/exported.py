"""A published model: a folder that diffusers loads where nothing of this project is installed.

    model_index.json, pipeline.py    the pipeline
    network/, scheduler/, vae/       its parts: configuration, weights as safetensors, code
    README.md, samples.png           the model card
    provenance.json                  format, where it all comes from, a checksum of every file

The same model gives the same bytes. Here it is read without running any code of the folder, and
without diffusers, which takes longer to import than most sets of samples to draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes

from lirf.autoencoder import decoder
from lirf.autoencoder.decoder import Decoder
from lirf.networks.build import build
from lirf.objectives import build as objectives
from lirf.objectives.base import Field
from lirf.solvers import fixed
from lirf.store import files
from lirf.store.space import Space

if TYPE_CHECKING:
    from lirf.params import Prepare

FORMAT = 1
PROVENANCE = "provenance.json"
INDEX = "model_index.json"
NETWORK, SCHEDULER, AUTOENCODER = "network", "scheduler", "vae"  # folders; diffusers' names
CONFIG, SCHEDULER_CONFIG = "config.json", "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PREFIX = "network."  # of the weights, in the class that diffusers loads


SOLVERS = (*fixed.SOLVERS, "dopri5")


@dataclass(frozen=True)
class Solver:
    """How a published model is integrated; see `lirf.sampling.sampler`."""

    solver: str
    steps: int
    atol: float
    rtol: float
    batch: int | None = None


@dataclass(frozen=True)
class Model:
    """A published model, to draw from: its field, how to integrate it, and how to decode.

    `provenance` is plain JSON.
    """

    field: Field
    space: Space
    decoder: Decoder
    solver: Solver
    provenance: dict[str, Any]


def load(folder: Path, device: torch.device) -> Model:
    """Read what `lirf.publish.export` wrote.

    Raises:
        ValueError: `folder` holds no model, or one of another version, or a file is damaged.
    """
    provenance = read_provenance(folder)
    configs = {
        name: folder / name / file
        for name, file in ((NETWORK, CONFIG), (SCHEDULER, SCHEDULER_CONFIG))
    }
    needed = [*configs.values(), folder / NETWORK / WEIGHTS]
    names = [path.relative_to(folder).as_posix() for path in needed]
    files.verify(folder, {name: provenance["files"].get(name) for name in names})
    config = files.read_json(configs[NETWORK])
    numbers = files.read_json(configs[SCHEDULER])
    try:
        space = Space.from_json(config["space"])
        net = build(config["architecture"], space.shape).requires_grad_(False)
        tensors = from_bytes((folder / NETWORK / WEIGHTS).read_bytes())
        net.load_state_dict({name.removeprefix(PREFIX): t for name, t in tensors.items()})
        solver = Solver(*(numbers[key] for key in ("solver", "steps", "atol", "rtol")))
        if solver.solver not in SOLVERS or not solver.steps >= 1:
            raise KeyError
        objective = objectives.build(config.get("objective", config))
        field = objective.field(net.to(device).eval())
    except (KeyError, TypeError, AttributeError, RuntimeError, SafetensorError):
        raise ValueError(f"{folder}: the model in it is damaged; publish it again") from None
    images = decoder.load(folder / AUTOENCODER, device)
    if images.fingerprint != space.autoencoder:
        raise ValueError(f"{folder / AUTOENCODER}: not the autoencoder that the model is of")
    return Model(field, space, images, solver, provenance)


def read_prepare(folder: Path) -> Prepare:
    """Return what a model's training images went through.

    Raises:
        ValueError: `folder` holds no model, or its provenance is damaged.
    """
    from lirf import params  # noqa: PLC0415 - drawing does without

    try:
        prepared = read_provenance(folder)["params"]["prepare"]
    except (KeyError, TypeError):
        raise ValueError(f"{folder / PROVENANCE}: damaged; publish the model again") from None
    return params.validate(params.Prepare, prepared, str(folder / PROVENANCE))


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read `provenance.json`.

    Raises:
        ValueError: `folder` holds no model, or one of another version.
    """
    if not (folder / PROVENANCE).is_file():
        raise ValueError(
            f"{folder}: there is no published model in it; `dvc repro publish` writes data/model"
        )
    document = files.read_json(folder / PROVENANCE)
    if document.get("format") != FORMAT:
        raise ValueError(
            f"{folder}: a model of format {document.get('format')}, this version reads {FORMAT};"
            " publish it again, or install the version that wrote it"
        )
    if not isinstance(document.get("files"), dict):
        raise ValueError(f"{folder / PROVENANCE}: damaged; publish the model again")
    return document
