"""What a family of generators is: a loss to train a network by, and the field that it then means.

t = 0 is noise, t = 1 is data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from lirf.networks.condition import NULL, Condition

Call = Callable[[Tensor, Tensor, Condition], Tensor]
"""A network as it is called: (x_BCHW, t_B, condition) -> its output [B, C, H, W]."""

Field = Callable[[Tensor, Tensor], Tensor]
"""A velocity field: (x_BCHW, t_B) -> v_BCHW."""


class Objective(Protocol):
    """What a network's output means; a frozen dataclass of plain JSON values.

    One whose minimiser over known anchors has a formula has `exact(x_B, t_B, anchors_N)` too.
    """

    def loss(
        self, call: Call, x0_B: Tensor, x1_B: Tensor, t_B: Tensor, condition: Condition
    ) -> Tensor:
        """Return the loss, a scalar, of a network between noise and data at times `t_B` [B]."""
        ...

    def field(self, call: Call, condition: Condition = NULL) -> Field:
        """Return the velocity field of a network under a condition."""
        ...
