"""What latents are asked for beside the reconstruction: kept distances, and a direction.

The *manifold* loss keeps the distances of near images. *Alignment* follows a frozen network; with a
vision transformer it is what LIRF calls DiNO-VAE: a small head turns every place of a latent into a
feature, and the loss asks it to point where the network's feature of that place does, up to a
margin (arXiv 2501.01423, equations 4 and 6; representation alignment as in arXiv 2502.00359). The
head is thrown away after training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.features.imagenet import Imagenet
from lirf.features.lpips import Lpips
from lirf.features.vision import Vision

MOST = 1e4
"""Largest factor that brings two gradients to one length, where one of them all but vanishes."""


@dataclass(frozen=True)
class Eyes:
    """The frozen networks that training looks through, where it does."""

    vision: Vision | None = None
    imagenet: Imagenet | None = None
    lpips: Lpips | None = None

    def followed(self, by: Literal["imagenet", "vision"]) -> Imagenet | Vision:
        """Return the network that latents are aligned to."""
        found = self.imagenet if by == "imagenet" else self.vision
        assert found is not None, "it was asked for"
        return found

    def distance(
        self, by: Literal["vision", "imagenet", "lpips"], a_BCHW: Tensor, b_BCHW: Tensor
    ) -> Tensor:
        """Return the mean distance of pairs of signals in -1..1, in features.

        LPIPS; or one less the cosine, at every place, of the transformer's patches or of what the
        stages of the network for ImageNet make, the mean over stages: as LPIPS, but that all
        channels count alike. fp32 whatever the autocast.
        """
        match by:
            case "imagenet":
                assert self.imagenet is not None, "it was asked for"
                stages = zip(*map(self.imagenet.maps, (a_BCHW, b_BCHW)), strict=True)
                return torch.stack([alignment(a, b, margin=0) for a, b in stages]).mean()
            case "vision":
                assert self.vision is not None, "it was asked for"
                a_BFhw, b_BFhw = map(self.vision.patches, (a_BCHW, b_BCHW))
                return alignment(a_BFhw, b_BFhw, margin=0)
            case "lpips":
                assert self.lpips is not None, "it was asked for"
                return self.lpips.of_signals(a_BCHW.float(), b_BCHW.float()).mean()


BLIND = Eyes()
"""Of a training in pixels alone."""


def head(channels: int, width: int, features: int) -> nn.Sequential:
    """Return a perceptron of two hidden layers that acts on every place by itself.

    [B, channels, H, W] to [B, features, H, W].
    """
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.SiLU(),
        nn.Conv2d(width, width, 1),
        nn.SiLU(),
        nn.Conv2d(width, features, 1),
    )


def alignment(mapped_BFHW: Tensor, features_BFhw: Tensor, margin: float) -> Tensor:
    """Return mean relu(1 - margin - cos) over all places of the mapped latents.

    The features' grid is resized to that of the latents. fp32 whatever the autocast.
    """
    resized_BFHW = functional.interpolate(
        features_BFhw.float(), mapped_BFHW.shape[2:], mode="bilinear", antialias=True
    )
    cosine_BHW = functional.cosine_similarity(mapped_BFHW.float(), resized_BFHW, dim=1)
    return functional.relu(1 - margin - cosine_BHW).mean()


def balance(reference: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Return |d reference / d weight| / |d other / d weight|, at most MOST, as a constant.

    The factor at which two losses pull equally hard at one layer (arXiv 2012.09841, equation 7).
    """
    (ours,) = torch.autograd.grad(reference, weight, retain_graph=True)
    (theirs,) = torch.autograd.grad(other, weight, retain_graph=True)
    lengths = torch.linalg.vector_norm(ours), torch.linalg.vector_norm(theirs)
    return (lengths[0] / lengths[1].clamp_min(torch.finfo(ours.dtype).tiny)).clamp_max(MOST)


def manifold(xi_PCHW: Tensor, xj_PCHW: Tensor, zi_PCHW: Tensor, zj_PCHW: Tensor) -> Tensor:
    """Compare the distances of P pairs in pixels (x) and in latents (z), each up to its scale.

        mean_p ( d(x_i, x_j) / median_p d(x_i, x_j)  -  d(z_i, z_j) / median_p d(z_i, z_j) )^2

    The manifold loss of LIRF's first version (arXiv 2509.19903v1), with its scale s the ratio of
    the two medians over the same pairs, and divided by the square of the latents' median, which
    is not detached: the loss does not change when either side is multiplied by a number, so it
    neither shrinks nor stretches the latents, and it is 0 for every similarity. Euclidean
    distances; fp32 whatever the autocast.
    """
    x_P = _relative(xi_PCHW, xj_PCHW)
    z_P = _relative(zi_PCHW, zj_PCHW)
    return (x_P - z_P).square().mean()


def _relative(a_PCHW: Tensor, b_PCHW: Tensor) -> Tensor:
    """Return the P distances in units of their median (as they are, should that be 0)."""
    difference_PD = (a_PCHW.float() - b_PCHW.float()).flatten(1)
    distance_P = torch.linalg.vector_norm(difference_PD, dim=1)
    middle = distance_P.median()
    return distance_P / torch.where(middle > 0, middle, 1.0)
