"""When a training ends early: once what its model draws is collapsed onto the bank."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lirf import params
from lirf.sampling import seeds
from lirf.store.space import flat
from lirf.training.state import State

Look = Callable[[State], float]
"""The collapse of a state, where one is looked for: else minus infinity, which never stops."""


def looker(config: params.Train, latents_NCHW: np.ndarray, group_N: np.ndarray) -> Look:
    """Return what measures the collapse of a state onto latents, with the same few samples."""
    stop = config.stop_on
    if stop.rule == "never":
        return lambda _: -math.inf
    from lirf.measure import collapse  # noqa: PLC0415 - FAISS, a second to load
    from lirf.sampling import sampler  # noqa: PLC0415 - to sample is not to train

    noise_MCHW = sampler.noise(seeds.seeds(0, "stop", stop.samples), latents_NCHW.shape[1:])
    anchors_ND = flat(latents_NCHW)
    known = anchors_ND, group_N, collapse.near_duplicates(anchors_ND, group_N)
    own = collapse.own_nearness(*known)

    def look(state: State) -> float:
        if state.step == 0 or state.step % stop.every:
            return -math.inf
        x0_MCHW = noise_MCHW.to(state.device)
        ends_MCHW = collapse.ends(state.field, x0_MCHW, stop.path_steps, config.batch)
        near = collapse.nearness(ends_MCHW.flatten(1).numpy(), *known)
        return collapse.score(near, own)

    return look
