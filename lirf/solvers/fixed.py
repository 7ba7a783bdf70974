"""Euler, Heun and midpoint on a grid of times, each in one place for all that integrates.

Exported models carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

SOLVERS = ("euler", "heun", "midpoint")


def integrate(
    solver: str, field: Callable[[Tensor, Tensor], Tensor], x_B: Tensor, times_S: Tensor
) -> Tensor:
    """Return x at the last of `times_S` from `x_B` [B, ...] at the first, for dx/dt = field(x, t).

    The last interval of "heun" is Euler's (as in EDM, arXiv 2206.00364, algorithm 1), which keeps
    its order of 2: at t = 1 a velocity that comes from a data prediction is 0/0.
    """
    for interval in range(len(times_S) - 1):
        x_B = advance(solver, field, x_B, times_S, interval)
    return x_B


def advance(
    solver: str,
    field: Callable[[Tensor, Tensor], Tensor],
    x_B: Tensor,
    times_S: Tensor,
    interval: int,
) -> Tensor:
    """Return x at the end of one interval of `times_S` from `x_B` at its start; see `integrate`."""
    start, end = times_S[interval], times_S[interval + 1]
    length = end - start
    k1_B = field(x_B, start.expand(len(x_B)))
    if solver == "midpoint":
        half = 0.5 * length
        return x_B + length * field(x_B + k1_B * half, (start + half).expand(len(x_B)))
    if solver == "euler" or interval == len(times_S) - 2:
        return x_B + length * k1_B
    k2_B = field(x_B + length * k1_B, (start + length).expand(len(x_B)))
    return x_B + length * (k1_B * 0.5 + k2_B * 0.5)
