"""Compare latent spaces on the prepared images: round trips, and the points between neighbours."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL.Image import Image

from lirf.autoencoder import model as ae
from lirf.params import SpacesParams
from lirf.report import pictures, tables
from lirf.studies import spaces as studied
from lirf.training import devices
from stages.support import autoencoders, command
from stages.support.command import Out

COLUMNS = {  # of the table, by the metric of the stage `autoencoder`
    "psnr_heldout": "PSNR held out ↑",
    "psnr_pca_heldout": "PSNR of PCA",
    "psnr_gap": "gap to training ↓",
    "ssim_heldout": "SSIM held out ↑",
    "feature_distance_heldout": "feature distance ↓",
    "midpoint_distance": "midpoints → 1",
    "midpoint_distance_ends": "ends",
    "midpoint_distance_pixels": "blended pixels",
    "midpoint_frechet": "Frechet of midpoints ↓",
}


def spaces(params: SpacesParams, images: Path, runs: Out, table: Out, strips: Out) -> None:
    """Train or take an autoencoder for each line of `spaces`, and put them side by side.

    All are asked for the midpoints of the same pairs. `runs` has every number (TSV), `table` the
    chosen ones as Markdown, `strips` the ways between the same neighbours. Where a training was
    killed, it goes on from its checkpoint in `.scratch`.

    Raises:
        ValueError: as the stage `autoencoder`; names the space.
    """
    where = devices.of(params)
    results: dict[str, dict[str, Any]] = {}
    drawn: list[Image] = []
    for name, numbers in studied.sections(params).items():
        try:
            task = autoencoders.task("spaces", numbers, images, where, name)
            obtained = autoencoders.obtain(task)
        except ValueError as error:
            raise ValueError(f"spaces.{name}: {error}") from None
        with TemporaryDirectory() as folder:
            ae.save(obtained.framed, Path(folder) / name)
            saved = ae.load(Path(folder) / name, where)
        found = autoencoders.judged(task, saved, obtained)
        results[name] = found.results
        drawn.append(pictures.captioned(autoencoders.strips(found), name))
    columns = ["space", *sorted(set().union(*results.values()))]
    runs.write_text(tables.tsv([{"space": name, **results[name]} for name in results], columns))
    table.write_text(_table(results))
    pictures.save(pictures.beside(drawn), strips)


def _table(results: dict[str, dict[str, Any]]) -> str:
    """Return the table as Markdown, and under it what the numbers were measured on."""
    lines = [
        [name, found["latent_shape"], *(tables.number(found.get(key), ".3f") for key in COLUMNS)]
        for name, found in results.items()
    ]
    table = tables.markdown(["", "latent", *COLUMNS.values()], lines, "llr")
    one = next(iter(results.values()))
    return (
        f"{table}\n\n{one['n_train']} training and {one['n_heldout']} held-out images,"
        f" {one['n_midpoints']} midpoints; features: {one['features']}; PCA with as many"
        " coefficients as the latent has numbers, at most one less than there are images.\n"
    )


if __name__ == "__main__":
    command.run(spaces)
