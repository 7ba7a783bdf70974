"""A published model of the little one that tests train."""

from __future__ import annotations

from pathlib import Path

from lirf.publish import export


def write(trained, folder: Path) -> Path:
    """Write the model to `folder`, sealed, and return the folder."""
    export.write(folder, trained.weights, trained.autoencoder, trained.params.sample)
    prepare = trained.params.prepare.model_dump()
    export.seal(folder, {"name": "tiny", "params": {"prepare": prepare}})
    return folder
