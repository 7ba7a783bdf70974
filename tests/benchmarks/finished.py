"""A finished run of the workflow, as the scripts beside this one read it; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lirf.autoencoder import model as autoencoding
from lirf.features import features
from lirf.params import Sample
from lirf.store import banks, parts
from lirf.store.space import Space
from stages.support import drawing
from stages.support.drawing import Drawing

ROOT = Path(__file__).parents[2]
CPU, BATCH = torch.device("cpu"), 256


@dataclass(frozen=True)
class Finished:
    """Images, and the way between them and latents. `data` is a run's folder of that name."""

    data: Path
    train: np.ndarray  # [N, C, H, W], without mirrored ones
    heldout: np.ndarray
    space: Space
    autoencoder: autoencoding.Autoencoder

    @classmethod
    def read(cls, data: Path) -> Finished:
        """Read `data/images`, `data/r00/bank` and `data/autoencoder`."""
        part = parts.read(data / "images")
        split, flip = (np.array(part.rows[name].to_pylist()) for name in ("split", "flip"))
        return cls(
            data,
            part.array[(split == "train") & ~flip.astype(bool)],
            part.array[split == "heldout"],
            banks.read_register(data / "r00/bank").space,
            autoencoding.load(data / "autoencoder", CPU),
        )

    def encode(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Return scaled latents."""
        return self.space.scale(autoencoding.encode(self.autoencoder, images_NCHW, BATCH, CPU))

    def decode(self, z_NCHW: np.ndarray) -> np.ndarray:
        """Return images of scaled latents."""
        return autoencoding.decode(self.autoencoder, z_NCHW, self.space, BATCH, CPU)

    def again(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Return what the round trip makes of images."""
        return self.decode(self.encode(images_NCHW))

    def latents(self) -> features.Features:
        """Return the feature space of `evaluate.features: latents`."""
        return features.of("latents", features.Encoder(self.autoencoder.fingerprint, self.encode))

    def model(self, run: str, config: Sample) -> Drawing:
        """Return what draws of a model."""
        return drawing.load(self.data / run / "weights", config, CPU)
