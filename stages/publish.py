"""Publish the final model: a folder that diffusers loads, with its card and where it came from."""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from lirf.autoencoder import pretrained
from lirf.params import Params
from lirf.publish import card, export
from lirf.store import banks, files
from stages.support import command, hashes
from stages.support.command import Out

PACKAGES = ("diffusers", "lirf", "numpy", "safetensors", "torch", "torchdiffeq")

UNRELATED = {"device", "deterministic", "memory", "page"}
"""Parameters that a model does not depend on: of speed, of the page."""


def publish(
    params: Params,
    weights: Path,
    autoencoder: Path,
    bank: Path,
    images: Path,
    metrics: Path,
    samples: Path,
    model: Out,
) -> None:
    """Write the model in `weights` and `autoencoder` as a diffusers pipeline.

    `bank` is what it was trained on, `images` what the autoencoder was trained on; of `metrics`
    the results of the final model and of the baseline go into the card, and `samples`, a picture.

    Raises:
        ValueError: an input is missing, damaged or does not belong to the others.
    """
    results = {name: metrics / f"{name}.json" for name in _results(params)}
    documents = {name: files.read_json(path) for name, path in results.items()}
    rows = banks.read_register(bank).rows
    kinds = Counter(zip(rows["kind"].to_pylist(), rows["round"].to_pylist(), strict=True))
    latents = {
        "real": sum(count for (kind, _), count in kinds.items() if kind == "real"),
        "admitted": {name: kinds["refined", name] for name in params.rounds},
    }
    export.write(model, weights, autoencoder, params.sample)
    shutil.copyfile(samples, model / card.SAMPLES)
    card.make(_facts(params, documents, latents)).save(model / "README.md")
    inputs = [weights, autoencoder, bank, images, samples, *results.values()]
    export.seal(
        model,
        {
            "name": _name(params),
            "params": _params(params),
            "inputs": {path.as_posix(): _lock_hash(path) for path in inputs},
            "environment": _environment(),
            "latents": latents,
            "train_steps": documents[params.final]["train_steps"],
        },
    )


def _facts(
    params: Params, documents: dict[str, dict[str, Any]], latents: dict[str, Any]
) -> card.Facts:
    """Return what the card tells."""
    solver, base = params.sample.solver, params.baseline
    total = latents["real"] + sum(latents["admitted"].values())
    return card.Facts(
        name=_name(params),
        licence=params.publish.licence,
        description=params.publish.description
        or f"The folder `{Path(params.prepare.images).name}`",
        resolution=params.prepare.resolution,
        colour=params.prepare.colour,
        images=documents["prepare"],
        admitted=latents["admitted"],
        result={**documents[params.final], "bank_rows": total},
        baseline={**documents[base], "bank_rows": latents["real"]} if base else None,
        diagnosis=documents[f"diagnosis/{params.final}"],
        baseline_diagnosis=documents[f"diagnosis/{base}"] if base else None,
        same_steps=params.same_steps,
        solver=solver if solver == "dopri5" else f"{solver}, {params.sample.steps} steps",
        pretrained=_pretrained(params),
    )


def _results(params: Params) -> list[str]:
    """Return the names of the results that the card tells of."""
    models = [params.final, *params.baselines[:1]]
    return ["prepare", *models, *(f"diagnosis/{name}" for name in models)]


def _name(params: Params) -> str:
    return params.publish.name or f"lirf-{Path(params.prepare.images).name}"


def _pretrained(params: Params) -> str | None:
    """Return the name of the autoencoder that was not trained here, if so."""
    found = params.autoencoder.pretrained
    return None if found is None else pretrained.name(found)


def _params(params: Params) -> dict[str, Any]:
    """Return what the model depends on, without the folders above its inputs, which are private."""
    document = params.model_dump(mode="json", by_alias=True, exclude=UNRELATED)
    document["prepare"]["images"] = Path(params.prepare.images).name
    document["autoencoder"]["pretrained"] = _pretrained(params)
    for section, key in (
        (document["autoencoder"], "lpips"),
        (document["autoencoder"]["vision"], "weights"),
    ):
        section[key] = section[key] and Path(section[key]).name
    return document


def _lock_hash(path: Path) -> str:
    """Return the hash that DVC's `dvc.lock` has for a file or a folder.

    An output cannot depend on `dvc.lock`, which holds its own hash. Those of what the model was
    made of can be found in that file, and through it all that they were made of.
    """
    return [*hashes.contents(path)][-1]


def _environment() -> dict[str, str]:
    """Return what this stage runs on."""
    installed = {one.metadata["Name"].lower(): one.version for one in metadata.distributions()}
    versions = {name: installed[name] for name in PACKAGES if name in installed}
    return {"python": platform.python_version(), "platform": platform.platform(), **versions}


if __name__ == "__main__":
    command.run(publish)
