"""Look for collapse: how near a model's field, and what it draws, are to the training latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lirf.measure import collapse
from lirf.measure.collapse import Paths
from lirf.measure.memorised import MEMORISED_RATIO
from lirf.neighbours import search
from lirf.params import Diagnose, Params
from lirf.report import figures, tables
from lirf.sampling import sampler
from lirf.store import banks, files
from lirf.store.space import flat
from lirf.training import checkpoint, devices
from stages.support import command
from stages.support.command import Out

DIGITS = 6  # of a number: more would only make differences of rounding visible


@dataclass(frozen=True)
class Known:
    """The latents that a model can be near to, as rows [N, D]."""

    bank: np.ndarray  # all that it was trained on
    group: np.ndarray  # int64 [N], the image of each
    is_real: np.ndarray  # bool [N]
    reference: np.ndarray  # what the bank is compared with: held-out latents, or the real ones
    split: str  # of the reference: heldout | train

    @property
    def real(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the real latents, mirrored ones included, and the image of each."""
        return self.bank[self.is_real], self.group[self.is_real]


def diagnose(
    params: Params,
    run: str,
    weights: Path,
    bank: Path,
    heldout: Path,
    metrics: Out,
    distance: Out,
    density: Out,
    picture: Out,
) -> None:
    """Follow model `run` from the same noise as every other; `bank` is what it was trained on.

    `distance` gets the distance of its field to the memorising field of the real latents over t,
    `density` the share of memorised samples by local density of the real latents (TSV), `picture`
    both; `metrics` the collapse onto the real latents and onto the whole bank, and the two
    directed Hausdorff distances between the bank and `heldout`, in units of the real latents'
    spacing. Without held-out latents the reference is the real ones, which the bank contains:
    then only what strays from them means something, and `metrics` says so.

    Raises:
        ValueError: an input is damaged or of another space, there are too few images for
            `diagnose`, or a path is not finite.
    """
    numbers, where = params.diagnose, devices.of(params)
    field, space = checkpoint.load_field(weights, where)
    old, others = banks.read(bank), banks.read_latents(heldout)
    space.require(old.space, str(bank))
    space.require(others.space, str(heldout))
    known = _known(old, others)
    noise_MCHW = sampler.noise(
        sampler.seeds(numbers.seed, "diagnose", numbers.samples), space.shape
    ).to(where)
    anchors_NCHW = torch.from_numpy(old.latents[known.is_real]).to(where)
    batch = sampler.batch(field, space.shape, params.sample, where)
    try:
        paths = collapse.follow(field, noise_MCHW, anchors_NCHW, numbers.path_steps, batch)
        found, bins = _collapse(paths, known, numbers)
    except ValueError as error:
        raise ValueError(f"diagnose {run}: {error}") from None
    document = {
        **found,
        **_hausdorff(known),
        "reference_latents": known.split,
        "n_reference_latents": len(known.reference),
        "n_paths": numbers.samples,
        "path_steps": numbers.path_steps,
        "path_seed": numbers.seed,
    }
    files.write_json(
        metrics, {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in document.items()}
    )
    curve = {"t": paths.times.tolist(), "distance": paths.distance.tolist()}
    distance.write_text(tables.tsv(tables.transposed(curve), write=tables.short))
    density.write_text(tables.tsv(map(vars, bins), write=tables.short))
    figures.diagnosis(run, paths.times, paths.distance, bins, picture)


def _collapse(
    paths: Paths, known: Known, numbers: Diagnose
) -> tuple[dict[str, float], list[collapse.Bin]]:
    """Return how far a model has collapsed, and the memorised samples by local density."""
    ends_MD, real = paths.ends.flatten(1).numpy(), _with_duplicates(*known.real)
    near = collapse.nearness(ends_MD, *real)
    memorised_M = near.ratio < MEMORISED_RATIO
    whole = _with_duplicates(known.bank, known.group)
    document = {
        "collapse_real": collapse.score(near, collapse.own_nearness(*real)),
        "collapse_bank": collapse.score(
            collapse.nearness(ends_MD, *whole), collapse.own_nearness(*whole)
        ),
        "memorised_latents": float(memorised_M.mean()),
        "distance_to_memorising": float(paths.distance.mean()),
    }
    bins = collapse.by_density(near, memorised_M, *known.real, numbers.neighbours, numbers.bins)
    return document, bins


def _with_duplicates(
    anchors_ND: np.ndarray, group_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return anchors, their groups, and what are near-duplicates among them."""
    return anchors_ND, group_N, collapse.near_duplicates(anchors_ND, group_N)


def _known(old: banks.Bank, others: banks.Bank) -> Known:
    """Return the rows of a bank, and those that it is compared with."""
    bank_ND = flat(old.latents)
    if len(others.latents):
        reference_ND, split = flat(others.latents), "heldout"
    else:
        reference_ND, split = bank_ND[old.real], "train"
    return Known(bank_ND, old.groups, old.real, reference_ND, split)


def _hausdorff(known: Known) -> dict[str, float]:
    """Return both directed distances between bank and reference, in units of the spacing."""
    spacing = search.spacing(*known.real)
    strays = collapse.hausdorff(known.bank, known.reference)
    misses = collapse.hausdorff(known.reference, known.bank)
    return {
        "bank_to_reference": strays.greatest / spacing,
        "bank_to_reference_mean": strays.mean / spacing,
        "reference_to_bank": misses.greatest / spacing,
        "reference_to_bank_mean": misses.mean / spacing,
    }


if __name__ == "__main__":
    command.run(diagnose)
