"""What an autoencoder keeps of images: round trips, and the points between neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lirf.autoencoder import midpoints, quality
from lirf.autoencoder import model as ae
from lirf.features.features import Features
from lirf.features.lpips import Lpips
from lirf.store.space import Space

STRIPS = 8
"""Pairs of images whose way from one to the other is decoded."""


@dataclass(frozen=True)
class Images:
    """Training and held-out images, uint8 NCHW; a training image and its twin share a group."""

    train: np.ndarray
    heldout: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Judged:
    """What is known of an autoencoder.

    Attributes:
        results: numbers by name.
        rebuilt: the images after the round trip by split, "heldout" where there are any.
        strips: uint8 [S, T, C, H, W], rows of an image, the way to its neighbour, the neighbour.
    """

    results: dict[str, Any]
    rebuilt: dict[str, np.ndarray]
    strips: np.ndarray


def judge(
    saved: ae.Autoencoder,
    real: Images,
    seen: Features,
    neighbours: int,
    batch: int,
    device: torch.device,
    lpips: Lpips | None = None,
) -> Judged:
    """Measure round trips, and midpoints of every training image and its `neighbours` nearest.

    In the features `seen`, and in pixels, and by LPIPS where it is there; latents are scaled by
    the training images' own.
    """
    raw_NCHW = ae.encode(saved, real.train, batch, device)
    space = Space.measure(raw_NCHW, saved.fingerprint)

    def decode(z_NCHW: np.ndarray) -> np.ndarray:
        return ae.decode(saved, z_NCHW, space, batch, device)

    z_NCHW = space.scale(raw_NCHW)
    rebuilt = {"train": decode(z_NCHW)}
    if len(real.heldout):
        rebuilt["heldout"] = decode(space.scale(ae.encode(saved, real.heldout, batch, device)))
    pairs_P2 = midpoints.pairs(real.train, real.groups, neighbours)
    results: dict[str, Any] = {
        "fingerprint": saved.fingerprint,
        "latent_shape": "x".join(map(str, space.shape)),
        "features": seen.name,
        **({"feature_hash": seen.hash} if seen.hash else {}),
        "n_train": len(real.train),
        "n_heldout": len(real.heldout),
        "n_midpoints": len(pairs_P2),
    }
    for split, images_NCHW in rebuilt.items():
        results |= _round_trip(split, real, images_NCHW, math.prod(space.shape), seen)
        originals_NCHW = real.train if split == "train" else real.heldout
        results |= kept(originals_NCHW, images_NCHW, f"_{split}", batch, lpips)
    if "heldout" in rebuilt:
        results["psnr_gap"] = results["psnr_train"] - results["psnr_heldout"]
        sets = (
            decode(midpoints.between(z_NCHW, pairs_P2, 0.5)),
            rebuilt["train"],
            midpoints.blended(real.train, pairs_P2),
            real.train,
            real.heldout,
        )
        results |= midpoints.judge(*map(seen.extract, sets))
    _, first = np.unique(real.groups[pairs_P2[:, 0]], return_index=True)
    shown_S2 = pairs_P2[np.sort(first)[:STRIPS]]
    way_TSCHW = [decode(midpoints.between(z_NCHW, shown_S2, t)) for t in midpoints.STRIP]
    ends = real.train[shown_S2[:, 0]], real.train[shown_S2[:, 1]]
    return Judged(results, rebuilt, np.stack([ends[0], *way_TSCHW, ends[1]], axis=1))


def kept(
    images_NCHW: np.ndarray, rebuilt_NCHW: np.ndarray, end: str, batch: int, lpips: Lpips | None
) -> dict[str, float]:
    """Return what a round trip keeps of uint8 images, by names with the `end`."""
    results = {
        f"psnr{end}": quality.psnr(images_NCHW, rebuilt_NCHW),
        f"ssim{end}": quality.ssim(images_NCHW, rebuilt_NCHW),
        f"sharpness{end}": quality.sharpness(images_NCHW, rebuilt_NCHW),
    }
    if lpips is not None:
        results[f"lpips{end}"] = float(lpips.distances(images_NCHW, rebuilt_NCHW, batch).mean())
    return results


def _round_trip(
    split: str, real: Images, rebuilt_NCHW: np.ndarray, coefficients: int, seen: Features
) -> dict[str, float]:
    """Return the metrics of one split's round trip, and of PCA with as many coefficients."""
    images_NCHW = real.train if split == "train" else real.heldout
    linear_NCHW = quality.pca_round_trip(real.train, images_NCHW, coefficients)
    moved_NF = seen.extract(rebuilt_NCHW) - seen.extract(images_NCHW)
    results = {
        f"feature_distance_{split}": float(np.linalg.norm(moved_NF, axis=1).mean()),
        f"psnr_pca_{split}": quality.psnr(images_NCHW, linear_NCHW),
    }
    if split == "train":
        moved_N = quality.moved(images_NCHW, rebuilt_NCHW)
        results["moved_train_median"] = float(np.median(moved_N))
        results["moved_train_max"] = float(np.max(moved_N))
    return results
