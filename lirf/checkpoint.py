"""The state of training on disk: one folder format for checkpoints, warm starts and results.

    network.safetensors    weights
    ema.safetensors        their moving average
    optimizer.safetensors  AdamW's moments, `<weight>.exp_avg` and `<weight>.exp_avg_sq`
    state.json             format, step, network, prediction, space, generator, checksums

Nothing is unpickled, and the same state gives the same bytes.
"""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lirf import files, flow, training
from lirf.network import build
from lirf.space import Space
from lirf.training import State

FORMAT = 1
NETWORK, EMA, OPTIMIZER = "network.safetensors", "ema.safetensors", "optimizer.safetensors"
STATE = "state.json"
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
    tensors = {
        NETWORK: state.network.state_dict(),
        EMA: state.ema.state_dict(),
        OPTIMIZER: state.moments,
    }
    for name, named in tensors.items():
        with files.writing(folder / name):  # `save_file` makes files that only their owner reads
            (folder / name).write_bytes(to_bytes(named))
    document = {
        "format": FORMAT,
        "step": state.step,
        "network": state.config,
        "prediction": state.prediction,
        "space": state.space.to_json(),
        "generator": base64.b64encode(state.generator.get_state().numpy().tobytes()).decode(),
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
    state = training.assemble(
        document["network"], document["prediction"], document["space"], device
    )
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


def load_field(folder: Path, device: torch.device) -> tuple[flow.Field, Space]:
    """Read the velocity field of the averaged weights, and the space of its latents.

    Raises:
        ValueError: names the file that is missing, damaged or of another version.
    """
    network, document = load_ema(folder, device)
    return training.network_field(network, document["prediction"]), document["space"]


def read_document(folder: Path) -> dict[str, Any]:
    """Read `state.json`: plain values, but `space` a Space and `generator` a byte tensor.

    Raises:
        ValueError: it is missing, damaged or of another version.
    """
    path = folder / STATE
    document = files.read_versioned(path, FORMAT)
    try:
        document["space"] = Space.from_json(document["space"])
        state = bytearray(base64.b64decode(document["generator"]))
        document["generator"] = torch.frombuffer(state, dtype=torch.uint8)
        torch.Generator().set_state(document["generator"])
        right = [
            isinstance(document["network"], dict),
            isinstance(document["files"], dict),
            document["prediction"] in get_args(flow.Prediction),
            isinstance(document["step"], int) and document["step"] >= 0,
        ]
        if not all(right):
            raise ValueError
    except (ValueError, KeyError, TypeError, RuntimeError):
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
            raise _other_network(path)


def _other_network(path: Path) -> ValueError:
    return ValueError(
        f"{path}: not the tensors of the network in {STATE}; rerun `dvc repro` to write it anew"
    )


def _fill(tensors: dict[str, Tensor], path: Path, document: dict[str, Any]) -> None:
    """Copy the tensors of a file into `tensors`, in place, after checking it."""
    files.verify(path.parent, {path.name: document["files"].get(path.name)})
    try:
        stored = load_file(path)
    except SafetensorError:
        raise ValueError(f"{path}: damaged; {files.REMEDY}") from None
    if {name: tensor.shape for name, tensor in stored.items()} != {
        name: tensor.shape for name, tensor in tensors.items()
    }:
        raise _other_network(path)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
