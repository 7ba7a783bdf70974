"""Networks by the tag of their kind. Exported models carry a copy of this file and what it imports.

A network maps (x_BCHW, t_B, condition) to [B, C, H, W]; what its output means is its objective's
business. Output is zero at the start.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from lirf.networks.mlp import VelocityMLP
from lirf.networks.transformer import VelocityTransformer
from lirf.networks.unet import VelocityUNet

KINDS = {
    "transformer": (VelocityTransformer, ("patch", "width", "depth", "heads")),
    "unet": (VelocityUNet, ("patch", "width", "levels", "depth", "attention")),
    "mlp": (VelocityMLP, ("width", "depth")),
}
"""Every kind of network: its class, and the sizes that it takes."""


def build(config: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """Return the untrained network of `config` for latents of `shape` = (C, H, W).

    `config` is plain JSON: `kind` and the sizes of that kind, every one a positive integer; and,
    where it is more than 0, `labels`, the length of an augmentation label. Weights come from
    torch's global generator, and but for the label's own, which begin at zero, are the same
    whatever `labels`.

    Raises:
        ValueError: one line that names the key `initialize.network.<key>`.
    """
    kind = config.get("kind")
    if kind not in KINDS:
        raise ValueError(f"initialize.network.kind = {kind!r}: must be one of {', '.join(KINDS)}")
    network, keys = KINDS[kind]
    for key in config.keys() - {"kind", "labels", *keys}:
        raise ValueError(f"initialize.network.{key}: unknown for kind {kind}; remove it")
    sizes = {**{key: config.get(key) for key in keys}, "labels": config.get("labels", 0)}
    for key, value in sizes.items():
        least = 0 if key in ("labels", "attention") else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"initialize.network.{key} = {value!r}: must be a whole number, {least} or more"
            )
    return network(shape, **sizes)
