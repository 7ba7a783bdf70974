"""Make the untrained network, so that the first round starts like every other."""

from __future__ import annotations

from pathlib import Path

from lirf.images import transforms
from lirf.params import Params
from lirf.store import banks
from lirf.training import checkpoint, devices, state
from stages.support import command
from stages.support.command import Out


def initialize(params: Params, bank: Path, weights: Out) -> None:
    """Write the untrained weights for the latents of `bank`.

    The network has an input for augmentation labels where training will draw augmented images.
    """
    space = banks.read_register(bank).space
    labels = len(transforms.LABELS) if params.train.augment_share else 0
    untrained = state.initial(params.initialize, space, devices.choose("cpu"), labels)
    checkpoint.save(untrained, weights)


if __name__ == "__main__":
    command.run(initialize)
