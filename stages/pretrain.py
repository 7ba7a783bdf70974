"""Train the autoencoder that ships, on the photographs that come with dependencies."""

from __future__ import annotations

import torch

from lirf.autoencoder import kinds
from lirf.images import bundled
from lirf.params import PretrainParams
from lirf.studies import pretraining
from lirf.studies.pretraining import Photographs
from stages.support import command
from stages.support.command import Out
from stages.telling.progress import track


def pretrain(params: PretrainParams, model: Out) -> None:
    """Write an autoencoder in diffusers' layout, half precision, to `model`.

    On one thread of the CPU whatever `device` and `threads` say: what ships is to be the same
    wherever it is made.

    Raises:
        ValueError: training diverged.
    """
    torch.set_num_threads(1)
    config = params.pretrain
    photographs = Photographs.at_sizes(bundled.photographs(), config.side)
    training = pretraining.begin(config)
    for _ in track(pretraining.train(training, photographs, config), config.steps, "pretrain"):
        pass
    kinds.without_traces(training.finished()).half().save_pretrained(model)


if __name__ == "__main__":
    command.run(pretrain)
