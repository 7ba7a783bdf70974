"""The spaces in which images are compared, by name; each family of extractors has its file.

A new family is a file with its extractor, and a case of `of`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch

from lirf.features import edges, imagenet, inception, pixels
from lirf.features.vision import Vision

Extract = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 NCHW, to features, float64 [N, F]."""

Name = Literal["pixels", "edges", "latents", "vision", "imagenet", "inception"]


@dataclass(frozen=True)
class Features:
    """A feature space.

    `name` and `hash` go into the protocol of every comparison; `hash` is the fingerprint of the
    weights behind the features, or None where there are none. `network` is whether they are those
    of a trained network, where distances are much alike.
    """

    name: str
    hash: str | None
    extract: Extract
    network: bool = False


@dataclass(frozen=True)
class Encoder:
    """What makes scaled latents of uint8 images, and the fingerprint of its autoencoder."""

    fingerprint: str
    encode: Extract


def of(
    name: Name,
    encoder: Encoder | None = None,
    eye: Vision | None = None,
    batch: int = 1,
    device: torch.device | None = None,
) -> Features:
    """Return the features called `name`.

    "latents" are those of `encoder`, "vision" the mean patches that `eye` sees, `batch` images at
    a time. The networks of "imagenet" and of "inception" are read here and run on `device`.

    Raises:
        ValueError: one line that says which weights are missing, and how to get them.
    """
    match name:
        case "pixels":
            return Features("pixels", None, pixels.extract)
        case "edges":
            return Features("edges", None, edges.extract)
        case "latents":
            assert encoder is not None, "latents have an encoder"
            encode = encoder.encode
            return Features("latents", encoder.fingerprint, lambda images: _flat(encode(images)))
        case "vision":
            assert eye is not None, "it was asked for"
            extract = partial(eye.means, batch=batch)
            return Features("patches", eye.hash, extract, network=True)
        case "imagenet":
            network = imagenet.load(device or torch.device("cpu"))
            return Features(imagenet.NAME, imagenet.SHA256, network.extract, network=True)
        case "inception":
            extract, weights = inception.load(device or torch.device("cpu"))
            return Features(inception.NAME, weights, extract, network=True)


def _flat(latents_NCHW: np.ndarray) -> np.ndarray:
    return latents_NCHW.reshape(len(latents_NCHW), -1).astype(np.float64)
