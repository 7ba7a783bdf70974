"""Settings of all tests, a browser, and a tiny trained model, for those that need one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

import stages  # noqa: F401 - before torch: it says what the processor computes with

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from lirf.params import Params

# The first call into torch or FAISS takes longer than Hypothesis's deadline.
settings.register_profile("lirf", deadline=None)
settings.load_profile("lirf")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `slow` and `remote`, unless LIRF_TESTS=all asks for every one."""
    if os.environ.get("LIRF_TESTS") == "all":
        return
    skip = pytest.mark.skip(reason="slow: runs where LIRF_TESTS=all")
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("remote"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    """Draw the same numbers in every run, for tests that name no seed."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: tiny tensors gain nothing from more, and lose much on busy cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def one_by_one() -> Callable[[np.ndarray, np.ndarray, int], list[int]]:
    """Return what `farthest.first` is held against: the greedy order by its definition."""

    def first(rows_PD: np.ndarray, gap_P: np.ndarray, count: int) -> list[int]:
        gap_P, taken = gap_P.copy(), []
        for _ in range(count):
            taken.append(int(np.argmax(gap_P)))
            offset_PD = rows_PD - rows_PD[taken[-1]]
            gap_P = np.minimum(gap_P, np.sqrt(np.einsum("pd,pd->p", offset_PD, offset_PD)))
            gap_P[taken] = -np.inf
        return taken

    return first


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return headless Chromium, which logs what it asks of any network and what it complains of."""
    from selenium.webdriver import Chrome, ChromeOptions  # only the tests with a browser pay for it
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tmp_path_factory.mktemp("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1500,1000"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@dataclass(frozen=True)
class Trained:
    """What the workflow leaves of a tiny model: small params, and the paths of its results."""

    params: Params
    weights: Path
    autoencoder: Path
    bank: Path
    images: Path
    metrics: Path
    samples: Path
    photos: Path  # the folder of training images


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a grey model: a transformer that predicts the velocity, drawn from with Heun."""
    network = {"kind": "transformer", "patch": 2, "width": 16, "depth": 1, "heads": 2}
    return make(
        tmp_path_factory.mktemp("grey"),
        {
            "prepare": {"resolution": 8, "colour": "grey"},
            "initialize": {"prediction": "velocity", "network": network},
            "sample": {"solver": "heun", "steps": 4, "batch": 64},
        },
    )


@pytest.fixture(scope="session")
def trained_rgb(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a colour model: a perceptron that predicts the data, drawn from with midpoints."""
    return make(
        tmp_path_factory.mktemp("rgb"),
        {
            "prepare": {"resolution": 8, "colour": "rgb"},
            "initialize": {
                "prediction": "data",
                "network": {"kind": "mlp", "width": 16, "depth": 1},
            },
            "sample": {"solver": "midpoint", "steps": 3, "batch": 64},
        },
    )


def make(folder: Path, changes: dict[str, dict[str, Any]]) -> Trained:
    """Run the stages up to an untrained network, and give its average weights that do something."""
    import torch

    from lirf import params as settings
    from lirf.autoencoder import model as ae
    from lirf.report import pictures
    from lirf.store import banks, parts
    from lirf.training import checkpoint
    from lirf.training import state as states
    from stages.encode import encode
    from stages.prepare import prepare
    from stages.support.command import Out

    photos = folder / "photos"
    photos.mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(generator.integers(0, 256, (9, 9, 3), np.uint8)).save(
            photos / f"{index:02d}.png"
        )
    document = settings.read(Path(__file__).parents[1] / "params.yaml")
    document["device"] = "cpu"
    document["prepare"] |= {"images": str(photos), "holdout": 0.0}
    document["autoencoder"] |= {"widths": [4, 4], "latent_channels": 2, "manifold_neighbours": 2}
    for section, values in changes.items():
        document[section] |= values
    params = settings.validate(settings.Params, document, "params.yaml")

    out = {name: Out(folder / name) for name in ("images", "bank", "heldout", "augmented")}
    prepare(params, out["images"], Out(folder / "prepare.json"))
    channels = parts.read(out["images"]).array.shape[1]
    (folder / "autoencoder").mkdir()
    ae.save(
        ae.build(params.autoencoder, channels, params.prepare.resolution),
        folder / "autoencoder",
    )
    with contextlib.chdir(folder):  # where its scratch goes
        encode(params, folder / "images", folder / "autoencoder", *list(out.values())[1:])
    space = banks.read(folder / "bank").space
    state = states.initial(params.initialize, space, torch.device("cpu"))
    drawn = torch.Generator().manual_seed(1)
    for weight in state.ema.parameters():
        weight.add_(torch.randn(weight.shape, generator=drawn) * 0.3)
    checkpoint.save(state, folder / "weights")

    metrics = folder / "metrics"
    (metrics / "diagnosis").mkdir(parents=True)
    (folder / "prepare.json").rename(metrics / "prepare.json")
    protocol = {
        "n_fake": 70, "n_reference": 12, "n_train": 12, "reference": "train", "flip": False,
        "features": "pixels", "feature_hash": None, "resolution": 8, "resize": "lanczos",
        "neighbours": 3, "solver": params.sample.solver, "solver_steps": params.sample.steps,
        "atol": None, "rtol": None, "seed": 1, "generator": "network", "mixup_neighbours": None,
        "autoencoder": space.autoencoder,
    }  # fmt: skip
    for run, memorised in (("final", 0.0123), ("baseline", 0.456)):
        measured = {
            "memorised": memorised,
            "precision": 0.9, "recall": 0.1, "density": 1.1, "coverage": 0.6,
            "frechet": None, "frechet_reason": "few", "vendi": 7.0, "train_steps": 12,
        }  # fmt: skip
        (metrics / f"{run}.json").write_text(json.dumps({**measured, **protocol}))
        (metrics / "diagnosis" / f"{run}.json").write_text(json.dumps({"collapse_real": memorised}))
    pictures.save(pictures.grid(np.zeros((4, 1, 8, 8), np.uint8), 2), folder / "samples.png")
    return Trained(
        params,
        photos=photos,
        **{name: folder / name for name in ("weights", "autoencoder", "bank", "images", "metrics")},
        samples=folder / "samples.png",
    )
