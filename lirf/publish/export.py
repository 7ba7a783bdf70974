"""A published model: a folder that diffusers loads where nothing of this project is installed.

    model_index.json, pipeline.py    the pipeline
    network/, scheduler/, vae/       its parts: configuration, weights as safetensors, code
    README.md, samples.png           the model card
    provenance.json                  format, where it all comes from, a checksum of every file

The same model gives the same bytes. Here it is read without running any code of the folder.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lirf import params
from lirf.autoencoder import model as autoencoding
from lirf.autoencoder.model import Autoencoder
from lirf.networks.build import build
from lirf.objectives import build as objectives
from lirf.objectives.base import Field
from lirf.params import Prepare, Sample
from lirf.publish import pipeline, scheduler, velocity
from lirf.store import files
from lirf.store.space import Space
from lirf.training import checkpoint

FORMAT = 1
PROVENANCE = "provenance.json"
INDEX = "model_index.json"
NETWORK, SCHEDULER, AUTOENCODER = "network", "scheduler", "vae"  # folders; diffusers' names
CONFIG, SCHEDULER_CONFIG = "config.json", "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PREFIX = "network."  # of the weights, in VelocityField

IMPORT = re.compile(r"^from lirf\.(\S+) import", re.MULTILINE)
FUNCTIONS = re.compile(r"^from lirf\.(\S+) import (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """A published model, to draw from: its field, how to integrate it, and how to decode.

    `provenance` is plain JSON; `prepare` says what its training images went through.
    """

    field: Field
    space: Space
    autoencoder: Autoencoder
    sample: Sample
    prepare: Prepare
    provenance: dict[str, Any]


def write(folder: Path, weights: Path, autoencoder: Path, sample: Sample) -> None:
    """Write the pipeline to a new folder: averaged weights, autoencoder, solver, code.

    Raises:
        ValueError: an input is missing or damaged, or the two are of different latent spaces.
    """
    cpu = torch.device("cpu")
    model, document = checkpoint.load_ema(weights, cpu)
    space: Space = document["space"]
    decoder = autoencoding.load(autoencoder, cpu)
    if decoder.fingerprint != space.autoencoder:
        raise ValueError(
            f"{weights}: latents of autoencoder {space.autoencoder[:12]}, not of {autoencoder},"
            f" {decoder.fingerprint[:12]}; rerun `dvc repro encode` and what follows it"
        )
    for name in (NETWORK, SCHEDULER, AUTOENCODER):
        (folder / name).mkdir(parents=True)
    (folder / "pipeline.py").write_text(alone(pipeline.__name__))
    for name, module in ((NETWORK, velocity), (SCHEDULER, scheduler)):
        for file, source in code(module.__name__).items():
            (folder / name / f"{file}.py").write_text(source)
    for name in (autoencoding.CONFIG, autoencoding.WEIGHTS, autoencoding.FINGERPRINT):
        shutil.copyfile(autoencoder / name, folder / AUTOENCODER / name)
    tensors = {PREFIX + name: tensor for name, tensor in model.state_dict().items()}
    (folder / NETWORK / WEIGHTS).write_bytes(to_bytes(tensors))
    velocity_config = {
        "architecture": document["network"],
        "objective": objectives.document(document["objective"]),
        "space": space.to_json(),
    }
    _write_config(folder / NETWORK / CONFIG, velocity.VelocityField.__name__, velocity_config)
    _write_config(
        folder / SCHEDULER / SCHEDULER_CONFIG,
        scheduler.FlowScheduler.__name__,
        sample.model_dump(include={"solver", "steps", "atol", "rtol"}),
    )
    parts = {
        NETWORK: [_file(velocity.__name__), velocity.VelocityField.__name__],
        SCHEDULER: [_file(scheduler.__name__), scheduler.FlowScheduler.__name__],
        AUTOENCODER: ["diffusers", type(decoder.model).__name__],
        **asdict(decoder.frame),
    }
    _write_config(folder / INDEX, ["pipeline", pipeline.LatentFlowPipeline.__name__], parts)


def code(module: str) -> dict[str, str]:
    """Return the source of a module and of all of this project that it imports, by file name.

    They import one another as neighbours in one folder. diffusers takes along the neighbours that
    the first names itself, so that one ends by naming all of them.
    """
    sources, pending = dict[str, str](), [module]
    while pending:
        name = pending.pop()
        if _file(name) not in sources:
            source = inspect.getsource(importlib.import_module(name))
            pending += [f"lirf.{other}" for other in IMPORT.findall(source)]
            relative = IMPORT.sub(lambda found: f"from .{_file(found[1])} import", source)
            sources[_file(name)] = relative
    first, *others = sources
    named = [f"from .{other} import __name__ as _  # noqa: E402" for other in sorted(others)]
    sources[first] += "\n".join(
        ["", "# What its neighbours import, for diffusers to find.", *named, ""]
    )
    return sources


def alone(module: str) -> str:
    """Return the source of a module with the functions written into it that it imports from here.

    What these need besides, the module imports as well.
    """
    source = inspect.getsource(importlib.import_module(module))

    def written(found: re.Match[str]) -> str:
        owner = importlib.import_module(f"lirf.{found[1]}")
        names = found[2].split(", ")
        return "\n\n".join(["", *(inspect.getsource(getattr(owner, name)) for name in names), ""])

    return FUNCTIONS.sub(written, source)


def seal(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write the provenance with the checksums of all that lies in `folder` by now."""
    document = {**provenance, "format": FORMAT, "files": files.checksums(folder)}
    files.write_json(folder / PROVENANCE, document)


def load(folder: Path, device: torch.device) -> Model:
    """Read what `write` and `seal` wrote.

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
        # Of a round's candidates, not of the model.
        fixed = {"seed": 0, "ratio": 1.0, "batch": 1, "compile": False}
        solver = {key: numbers[key] for key in ("solver", "steps", "atol", "rtol")}
        sample = params.validate(Sample, {**solver, **fixed}, str(configs[SCHEDULER]))
        prepared = provenance["params"]["prepare"]
        prepare = params.validate(Prepare, prepared, str(folder / PROVENANCE))
        objective = objectives.build(config.get("objective", config))
        field = objective.field(net.to(device).eval())
    except (KeyError, TypeError, AttributeError, RuntimeError, SafetensorError):
        raise ValueError(f"{folder}: the model in it is damaged; publish it again") from None
    decoder = autoencoding.load(folder / AUTOENCODER, device)
    if decoder.fingerprint != space.autoencoder:
        raise ValueError(f"{folder / AUTOENCODER}: not the autoencoder that the model is of")
    return Model(field, space, decoder, sample, prepare, provenance)


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


def _write_config(path: Path, name: str | list[str], values: Mapping[str, Any]) -> None:
    """Write a configuration as diffusers does."""
    head = {"_class_name": name, "_diffusers_version": version("diffusers")}
    files.write_json(path, {**head, **values})


def _file(module: str) -> str:
    """Return what a module's copy is called: diffusers keeps those of all models in one folder."""
    return "lirf_" + module.removeprefix("lirf.").replace(".", "_")
