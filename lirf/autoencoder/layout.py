"""A saved autoencoder on disk: the names of its files, and the fingerprint over them.

No network is read here, so that nothing heavy is imported.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lirf.store import files

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FINGERPRINT = "fingerprint.json"


def seal(folder: Path, frame: dict[str, Any]) -> str:
    """Write the fingerprint beside configuration and weights, with the frame; return it.

    `frame` is empty where the autoencoder meets images as they are.
    """
    found = _fingerprint(folder, frame)
    files.write_json(folder / FINGERPRINT, {"fingerprint": found, **frame})
    return found


def check(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the fingerprint and the frame, after comparing the files with them.

    Raises:
        ValueError: a file is missing, or is not the one that was saved.
    """
    for name in (CONFIG, WEIGHTS, FINGERPRINT):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name}: missing; `dvc repro autoencoder` writes it")
    frame = files.read_json(folder / FINGERPRINT)
    expected = str(frame.pop("fingerprint", None))
    actual = _fingerprint(folder, frame)
    if actual != expected:
        raise ValueError(
            f"{folder}: fingerprint {actual[:12]} is not {expected[:12]} of {FINGERPRINT}: the"
            " files were changed; `dvc checkout` restores them"
        )
    return actual, frame


def _fingerprint(folder: Path, frame: dict[str, Any]) -> str:
    """Return the SHA-256 over the bytes of configuration and weights, and the frame, if any."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    if frame:
        digest.update(json.dumps(frame, sort_keys=True).encode())
    return digest.hexdigest()
