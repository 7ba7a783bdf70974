"""Writing a published model: see `lirf.publish.exported` for what it is."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from lirf.autoencoder import layout
from lirf.autoencoder import model as autoencoding
from lirf.objectives import build as objectives
from lirf.params import Sample
from lirf.publish import pipeline, scheduler, velocity
from lirf.publish.exported import (
    AUTOENCODER,
    CONFIG,
    FORMAT,
    INDEX,
    NETWORK,
    PREFIX,
    PROVENANCE,
    SCHEDULER,
    SCHEDULER_CONFIG,
    WEIGHTS,
)
from lirf.store import files
from lirf.store.space import Space
from lirf.training import checkpoint

IMPORT = re.compile(r"^from lirf\.(\S+) import", re.MULTILINE)
FUNCTIONS = re.compile(r"^from lirf\.(\S+) import (.+)$", re.MULTILINE)


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
    for name in (layout.CONFIG, layout.WEIGHTS, layout.FINGERPRINT):
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


def _write_config(path: Path, name: str | list[str], values: Mapping[str, Any]) -> None:
    """Write a configuration as diffusers does."""
    head = {"_class_name": name, "_diffusers_version": version("diffusers")}
    files.write_json(path, {**head, **values})


def _file(module: str) -> str:
    """Return what a module's copy is called: diffusers keeps those of all models in one folder."""
    return "lirf_" + module.removeprefix("lirf.").replace(".", "_")
