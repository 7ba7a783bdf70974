"""Correct the candidates: pull each towards its neighbours in the bank, and measure the pull."""

from __future__ import annotations

from pathlib import Path

from lirf.densify import correction
from lirf.params import Params
from lirf.store import banks, tables
from lirf.store.rows import Room, half
from stages.support import command
from stages.support.command import Out


def correct(
    params: Params, run: str, candidates: Path, bank: Path, corrected: Out, anchors: Out
) -> None:
    """Apply the correction operator of round `run` to its candidates.

    `corrected` gets C(z) and, for each, its parents with their weights, lambda, the displacement
    |z - C(z)| and the novelty: the distance of C(z) to the nearest real latent (mirrored ones are
    real). `anchors` gets the displacement of every real latent under the same operator, with its
    own image, mirrored or not, left out of its neighbours.

    Raises:
        ValueError: an input is damaged or of another space, a candidate is not finite, or the
            bank has too few rows for `correct.neighbours`.
    """
    if run not in params.rounds:
        raise ValueError(f"--run {run}: not a round of params.yaml ({', '.join(params.rounds)})")
    # Half is for candidates, bank and result, which lie beside the result where that is too little.
    room = Room(half(params.memory), corrected.parent)
    known = banks.read(bank, room)
    drawn = banks.read_latents(candidates, room, known.space)
    banks.require_finite(candidates, drawn.latents, drawn.rows)
    try:
        done, moved = correction.correct(
            drawn, known, params.correct, params.rounds[run].lambda_, half(params.memory), room
        )
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from None
    banks.write_latents(corrected, done.latents, done.rows, done.space, **done.attributes)
    tables.write(anchors, moved)


if __name__ == "__main__":
    command.run(correct)
