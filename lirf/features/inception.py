"""The Inception network of FID, as torch-fidelity has it, where its weights are on this machine."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lirf.features import batches
from lirf.store import files

FILE = "weights-inception-2015-12-05-6726825d.pth"
START = "6726825d"
"""Of the file's SHA-256, as its name says."""

NAME = "inception (FID's, 2048)"


def load(device: torch.device) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Return what makes FID's features, float64 [N, 2048], of uint8 images; and the weights' hash.

    Raises:
        ValueError: torch-fidelity or its weights are missing, or the weights are damaged.
    """
    try:
        from torch_fidelity import (  # noqa: PLC0415 - an extra
            feature_extractor_inceptionv3 as extractor,
        )
    except ImportError:
        raise ValueError(
            "evaluate.features = inception: torch-fidelity is not installed;"
            " `uv sync --extra metrics`"
        ) from None
    path = weights()
    state = torch.load(path, map_location="cpu", weights_only=True)
    # torch-fidelity unpickles whatever it is given: it gets what holds nothing but tensors.
    plain = io.BytesIO()
    torch.save(state, plain)
    plain.seek(0)
    given: Any = plain
    network = extractor.FeatureExtractorInceptionV3("inception", ["2048"], given).to(device)

    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        return batches.extract(lambda x_B3HW: network(x_B3HW)[0], images_NCHW, device)

    return extract, files.sha256(path)


def weights() -> Path:
    """Return the file of the weights, where torch keeps what it has fetched.

    Raises:
        ValueError: one line that says which file to put where.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        raise ValueError(
            f"evaluate.features = inception: {path}: missing; put {FILE} of torch-fidelity there,"
            " or choose imagenet"
        )
    if not files.sha256(path).startswith(START):
        raise ValueError(
            f"evaluate.features = inception: {path}: damaged, its SHA-256 does not start with"
            f" {START}; put {FILE} of torch-fidelity there"
        )
    return path
