"""What a network is told beside point and time: all of it in one thing, from batch to export.

Exported models carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """What does not depend on time, a row a sample; a field is None where nothing is told.

    Attributes:
        augmentation: labels [B, L] of what was done to each row (EDM, arXiv 2206.00364, appendix
            F.2), so that augmentation does not leak into samples; zeros, like None: nothing.
    """

    augmentation: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """Return the condition with `change` done to every tensor in it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Condition(
            **{name: None if one is None else change(one) for name, one in values.items()}
        )

    def rows(self, index_B: Tensor | slice) -> Condition:
        """Return the condition of the rows that `index_B` picks."""
        return self.map(lambda one: one[index_B])

    def to(self, device: torch.device) -> Condition:
        """Return the condition on `device`."""
        return self.map(lambda one: one.to(device))


NULL = Condition()
"""Nothing is told: what samples are drawn under unless one asks for more."""
