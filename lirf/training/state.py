"""The full state of a training: all that its next step depends on but the bank and its numbers.

Hence k steps, saved, loaded and k more, are 2k steps bit for bit, and a loop whose rounds admit
nothing ends with the weights of its baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lirf import params
from lirf.networks.build import build
from lirf.objectives.base import Field, Objective
from lirf.objectives.rectified import Rectified
from lirf.store.space import Space

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class State:
    """All that the next step depends on but the bank and `params.Train`.

    Attributes:
        network: the network in training.
        ema: the moving average of its weights, which samples are drawn from.
        moments: AdamW's, `<weight>.exp_avg` and `<weight>.exp_avg_sq`, zero at the start.
        generator: on the CPU, of batches, noise and times.
        step: optimiser steps taken so far, since the weights were untrained.
        space: of the latents.
        config: of the network, plain JSON (`networks.build`).
        objective: what the network is trained by, and what its output means.
    """

    network: nn.Module
    ema: nn.Module
    moments: dict[str, Tensor]
    generator: torch.Generator
    step: int
    space: Space
    config: dict[str, Any]
    objective: Objective

    @property
    def device(self) -> torch.device:
        """Return where the weights lie."""
        return next(self.network.parameters()).device

    @property
    def field(self) -> Field:
        """Return the velocity field (x_BCHW, t_B) -> v_BCHW of the averaged weights."""
        return self.objective.field(self.ema)


def initial(
    config: params.Initialize, space: Space, device: torch.device, labels: int = 0
) -> State:
    """Return the untrained state, the same on every device for the same seed.

    `labels` is the length of the augmentation labels that the network will be told, 0 for none.

    Raises:
        ValueError: the network does not fit the latents; names `initialize.network.<key>`.
    """
    network = config.network.model_dump() | ({"labels": labels} if labels else {})
    return _untrained(network, Rectified(config.prediction), space, device, config.seed)


def afresh(state: State, seed: int) -> State:
    """Return a state at step 0 of the same network, untrained: other weights, other draws."""
    return _untrained(state.config, state.objective, state.space, state.device, seed)


def assemble(
    config: dict[str, Any], objective: Objective, space: Space, device: torch.device
) -> State:
    """Return a state at step 0, with weights from torch's global generator."""
    network, ema = build(config, space.shape), build(config, space.shape)
    ema.load_state_dict(network.state_dict())
    network.to(device).train()
    ema.to(device).eval().requires_grad_(False)
    moments = {
        f"{name}.{moment}": torch.zeros_like(weight, requires_grad=False)
        for name, weight in network.named_parameters()
        for moment in MOMENTS
    }
    return State(network, ema, moments, torch.Generator(), 0, space, config, objective)


def _untrained(
    config: dict[str, Any], objective: Objective, space: Space, device: torch.device, seed: int
) -> State:
    """Return the state at step 0 whose weights and draws come from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = assemble(config, objective, space, device)
    state.generator.manual_seed(seed)
    return state
