"""The state of training on disk: one folder format for checkpoints, warm starts and results.

    network.safetensors    weights
    ema.safetensors        their moving average
    optimizer.safetensors  AdamW's moments, `<weight>.exp_avg` and `<weight>.exp_avg_sq`
    state.json             format, step, network, prediction, space, generator, checksums

Nothing is unpickled, and the same state gives the same bytes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lirf.networks.build import build
from lirf.objectives import build as objectives
from lirf.objectives.base import Field
from lirf.store import files, tensors
from lirf.store.space import Space
from lirf.training import devices
from lirf.training.state import State, assemble

FORMAT = 1
NETWORK, EMA, OPTIMIZER = "network.safetensors", "ema.safetensors", "optimizer.safetensors"
STATE = "state.json"
OWNER = f"the network in {STATE}"
"""Whose the tensors are."""
BYTES = 4  # of a weight
MOST_NUMBERS = 2**22  # of a latent: 16 channels of 512 x 512


def save(state: State, folder: Path) -> None:
    """Write `state` to a new folder.

    Raises:
        ValueError: a weight, or a moment of one, is not finite, so that the state is worth
            nothing; names the step.
    """
    weights = {f"weights {name}": weight for name, weight in state.network.named_parameters()}
    moments = {f"moments {name}": moment for name, moment in state.moments.items()}
    for name, tensor in {**weights, **moments}.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(
                f"step {state.step}: the {name} are not finite; lower train.learning_rate"
                " or set train.clip_norm"
            )
    folder.mkdir()
    tensors.write(folder / NETWORK, state.network.state_dict())
    tensors.write(folder / EMA, state.ema.state_dict())
    tensors.write(folder / OPTIMIZER, state.moments)
    document = {
        "format": FORMAT,
        "step": state.step,
        "network": state.config,
        **objectives.document(state.objective),
        "space": state.space.to_json(),
        "generator": tensors.generator_to_text(state.generator),
        "files": files.checksums(folder),
    }
    files.write_json(folder / STATE, document)


def load(folder: Path, device: torch.device) -> State:
    """Read what `save` wrote, to `device`.

    Raises:
        ValueError: names the file that is missing, damaged or of another version.
    """
    document = read_document(folder)
    _check_sizes(folder, document)
    state = assemble(document["network"], document["objective"], document["space"], device)
    _fill(state.network.state_dict(), folder / NETWORK, document)
    _fill(state.ema.state_dict(), folder / EMA, document)
    _fill(state.moments, folder / OPTIMIZER, document)
    state.generator.set_state(document["generator"])
    state.step = document["step"]
    return state


def load_ema(folder: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """Read the averaged network alone, in evaluation mode, and the document beside it.

    Raises:
        ValueError: names the file that is missing, damaged or of another version.
    """
    document = read_document(folder)
    _check_sizes(folder, document)
    network = build(document["network"], document["space"].shape)
    _fill(network.state_dict(), folder / EMA, document)
    return network.to(device).eval().requires_grad_(False), document


def load_field(folder: Path, device: torch.device) -> tuple[Field, Space]:
    """Read the velocity field of the averaged weights, and the space of its latents.

    Raises:
        ValueError: names the file that is missing, damaged or of another version.
    """
    network, document = load_ema(folder, device)
    return document["objective"].field(network), document["space"]


def load_compiled(folder: Path, device: torch.device, rows: int, key: str) -> Field:
    """Read the same field, compiled for batches of at most `rows`; `key` is what errors name.

    Raises:
        ValueError: as above, or there is no compiler.
    """
    network, document = load_ema(folder, device)
    call = devices.padded(devices.compiled(network, device, key), rows)
    return document["objective"].field(call)


def read_document(folder: Path) -> dict[str, Any]:
    """Read `state.json`: plain values, but `space`, `objective` and `generator`, a byte tensor.

    Raises:
        ValueError: it is missing, damaged or of another version.
    """
    path = folder / STATE
    document = files.read_versioned(path, FORMAT)
    try:
        document["space"] = Space.from_json(document["space"])
        document["objective"] = objectives.build(document)
        document["generator"] = tensors.generator_from_text(document["generator"])
        right = [
            isinstance(document["network"], dict),
            isinstance(document["files"], dict),
            isinstance(document["step"], int) and document["step"] >= 0,
        ]
        if not all(right):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged; {files.REMEDY}") from None
    return document


def _check_sizes(folder: Path, document: dict[str, Any]) -> None:
    """Check that the network that is described has no more weights than there are.

    An absurd one would be allocated before its lack of weights is seen.
    """
    path, config = folder / EMA, document["network"]
    files.verify(folder, {EMA: document["files"].get(EMA)})
    width, depth = config.get("width"), config.get("depth")
    if isinstance(width, int) and isinstance(depth, int):  # else `build` says what is wrong
        least = BYTES * width**2 * depth  # a square matrix a layer
        if least > path.stat().st_size or math.prod(document["space"].shape) > MOST_NUMBERS:
            raise tensors.foreign(path, OWNER)


def _fill(into: dict[str, Tensor], path: Path, document: dict[str, Any]) -> None:
    """Copy the tensors of a file into those of the state, after checking it."""
    tensors.fill(into, path, document["files"].get(path.name), OWNER)
