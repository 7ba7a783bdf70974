"""The results of a finished run as the other stages leave them, for those that gather them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lirf import params as settings
from lirf.report import pictures

PARAMS = settings.load(Path(__file__).parents[2] / "params.yaml")
MODELS = [*PARAMS.rounds, "final", "baseline"]
PROTOCOL = {
    "n_fake": 1000, "n_reference": 1697, "n_train": 100, "reference": "heldout", "flip": False,
    "features": "pixels", "feature_hash": None, "resolution": 8, "resize": "lanczos",
    "neighbours": 5, "solver": "heun", "solver_steps": 20, "atol": None, "rtol": None, "seed": 1,
    "autoencoder": "ab" * 32, "generator": "network", "mixup_neighbours": None,
}  # fmt: skip


def write(path: Path, document: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def make(folder: Path) -> tuple[Path, Path]:
    """Make a metrics folder and a plots folder as the other stages leave them."""
    metrics, plots = folder / "metrics", folder / "plots"
    write(metrics / "autoencoder.json", {"psnr_train": 30.0})
    write(metrics / "prepare.json", {"train": 100, "mirrored": 90, "heldout": 1697})
    for i, run in enumerate(MODELS):
        measured = {
            "memorised": 0.1 * i, "precision": 0.9, "recall": 0.1, "density": 1.1, "coverage": 0.6,
            "frechet": 1.5, "frechet_reason": None, "vendi": 17.0, "train_steps": 1000,
            "memorised_heldout": 0.012, "memorised_ratio": 1 / 3,
            "sharpness": 20.5 + i, "sharpness_heldout": 23.25,
            "memorised_pixels": None, "memorised_pixels_heldout": None,
        }  # fmt: skip
        write(metrics / f"{run}.json", {**measured, **PROTOCOL})
        (plots / run).mkdir(parents=True)
        first = 1 if run == "baseline" else 1 + 40 * i
        loss = "".join(f"{step}\t{1 / step}\n" for step in range(first, first + 40))
        (plots / run / "loss.tsv").write_text(f"step\tloss\n{loss}")
        for name, count in (("grid", 4), ("nearest", 2)):
            shade = np.full((count, 1, 8, 8), 40 * i, np.uint8)
            pictures.save(pictures.grid(shade, 2), plots / run / f"{name}.png")
        found = {
            "collapse_real": 0.1 * i, "collapse_bank": -0.05, "bank_to_reference": 1.1,
            "bank_to_reference_mean": 0.7, "reference_to_bank": 1.8, "reference_to_bank_mean": 1.0,
        }  # fmt: skip
        found |= {
            "memorised_latents": 0.1 * i, "distance_to_memorising": 0.5, "n_paths": 256,
            "path_steps": 20, "path_seed": 2, "reference_latents": "heldout",
            "n_reference_latents": 1697,
        }  # fmt: skip
        write(metrics / "diagnosis" / f"{run}.json", found)
        (plots / run / "collapse.tsv").write_text("t\tdistance\n0\t0.1\n0.5\t0.4\n")
        density = "low\thigh\tanchors\tsamples\tmemorised\n1\t2\t50\t256\t0.25\n2\t3\t50\t0\t\n"
        (plots / run / "density.tsv").write_text(density)
    for i, run in enumerate(PARAMS.rounds, start=1):
        write(
            metrics / "admission" / f"{run}.json",
            {"candidates": 1900, "admitted": 100 * i, "too_far": 30, "too_close": 20, "crowded": 0,
             "bank_after": [290, 490, 790][i - 1], "threshold": 4.5, "lambda": 0.8},
        )  # fmt: skip
    return metrics, plots


@pytest.fixture(scope="session")
def make_results() -> Callable[[Path], tuple[Path, Path]]:
    """Return a function that makes the folders of metrics and of plots of the default params."""
    return make
