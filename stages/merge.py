"""Merge the admitted candidates into the bank, as a new part beside the untouched earlier ones."""

from __future__ import annotations

from pathlib import Path

from lirf.densify import merging
from lirf.params import Params
from lirf.store import banks
from stages.support import command
from stages.support.command import Out


def merge(
    params: Params,  # noqa: ARG001 - every stage gets them
    run: str,
    previous: Path,
    admitted: Path,
    bank: Out,
) -> None:
    """Write the bank of round `run`: the parts of `previous`, and what the round admitted.

    Each new row names the rows it was corrected towards, so that every latent leads back to real
    images. A round that admitted nothing adds an empty part.

    Raises:
        ValueError: an input is damaged or of another space, or a row's parents are not in the bank.
    """
    known = banks.read_register(previous)
    joining = banks.read_latents(admitted, space=known.space)
    try:
        new = merging.part(run, joining, known)
    except ValueError as error:
        raise ValueError(f"{previous}: {error}") from None
    banks.write(bank, run, new.latents, new.rows, new.space, previous)


if __name__ == "__main__":
    command.run(merge)
