"""Write the report page: one file that opens anywhere, with every picture and number in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lirf.autoencoder import model as autoencoding
from lirf.measure import verdict
from lirf.params import Params
from lirf.report import cards, pictures
from lirf.report import page as pages
from lirf.report.cards import Measured
from lirf.report.page import Content, Descent, Neighbour, Sample
from lirf.store import banks, files, lineage, parts
from lirf.store.banks import Bank
from lirf.store.lineage import Lineage
from lirf.store.parts import Part
from lirf.training import devices
from stages.support import command, results
from stages.support.command import Out
from stages.support.results import Results

LIMIT = 12 << 20  # bytes; a page stays well below what people send by mail
SIDES = (96, 64, 48, 32)  # px of its pictures: the first that keep it below LIMIT
COUNTS = (64, 48, 32, 16, 8, 4, 2, 1)  # admitted latents shown of a round: the first that
MOST_LATENTS = 1200  # keep them and their ancestors below this
SECTIONS = (  # of params.yaml that the page shows
    "prepare", "autoencoder", "encode", "initialize", "train", "sample", "correct", "admit",
    "evaluate", "diagnose", "page", "rounds", "models",
)  # fmt: skip


def page(
    params: Params,
    metrics: Path,
    plots: Path,
    samples: Path,
    images: Path,
    autoencoder: Path,
    bank: Path,
    html: Out,
) -> None:
    """Write `html`: the verdict, the numbers, samples beside training images, lineage, collapse.

    `samples` holds what `evaluate` kept of every model; `bank` is the one that the final model was
    trained on: its admitted latents are decoded, with their ancestors.

    Raises:
        ValueError: an input is missing, damaged or of another space, or two results were obtained
            by different protocols.
    """
    found = results.read(params, metrics)
    measured = _measured(params, found, plots)
    known, prepared = banks.read(bank), parts.read(images)
    kept = {run: parts.read(samples / run) for run in (*params.baselines, *params.loop)}
    tree, shown = _descend(known, list(params.rounds))
    drawn = _draw(params, autoencoder, known, prepared, tree.ancestors(chain(*shown.values())))
    base = params.baseline
    judged = verdict.judge(
        found.documents[params.final],
        found.documents[base] if base else None,
        [found.rows[run] for run in params.rounds],
        params.page,
        same_steps=params.same_steps,
    )

    protocol = found.documents[params.final]
    shown_numbers = cards.of(measured, protocol, judged.judged)

    def write(side: int) -> str:
        content = Content(
            subject=f"{protocol['n_train']} images of {params.prepare.images}",
            verdict=judged,
            protocol=protocol,
            measured=measured,
            cards=shown_numbers,
            samples={run: _samples(part, side) for run, part in kept.items()},
            images=_images(prepared, kept.values(), side),
            descent=Descent(
                known.rows.to_pylist(),
                tree,
                shown,
                {place: pictures.data_uri(image, side) for place, image in drawn.items()},
            ),
            facts=_facts(params, found, metrics),
            pixelated=prepared.array.shape[-1] <= pictures.LOSSLESS,
        )
        return pages.render(content)

    html.write_text(_small(write))


def _small(write: Callable[[int], str]) -> str:
    """Return the page with the largest pictures that keep it below LIMIT, or the smallest."""
    for side in SIDES[:-1]:
        text = write(side)
        if len(text) <= LIMIT:
            return text
    return write(SIDES[-1])


def _measured(params: Params, found: Results, plots: Path) -> Measured:
    """Return the numbers of all models with their curves."""
    runs = list(found.rows)
    curves = {run: results.read_tsv(plots / run / "collapse.tsv") for run in runs}
    bins = {run: results.read_tsv(plots / run / "density.tsv") for run in runs}
    losses = results.losses(params, plots)
    return Measured(
        loop=params.loop,
        baselines=params.baselines,
        rows=found.rows,
        diagnoses=found.diagnoses,
        distances={run: _pairs(curves[run]["t"], curves[run]["distance"]) for run in runs},
        memorised_by_density={run: bins[run]["memorised"].tolist() for run in runs},
        losses={run: _pairs(*losses[run]) for run in runs},
    )


def _pairs(x_S: np.ndarray, y_S: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(x_S.tolist(), y_S.tolist(), strict=True))


def _descend(known: Bank, rounds: Sequence[str]) -> tuple[Lineage, dict[str, list[int]]]:
    """Return the bank's lineage, and the places of the first admitted latents of every round."""
    rows = known.rows.to_pylist()
    tree = lineage.build(rows)
    groups = {
        run: [place for place, row in enumerate(rows) if row["round"] == run] for run in rounds
    }
    groups = {run: places for run, places in groups.items() if places}
    shown = lineage.first(tree, list(groups.values()), COUNTS, MOST_LATENTS)
    return tree, dict(zip(groups, shown, strict=True))


def _draw(
    params: Params, autoencoder: Path, known: Bank, prepared: Part, places: Sequence[int]
) -> dict[int, np.ndarray]:
    """Return images [C, H, W] of rows of the bank: real ones as prepared, others decoded."""
    where = devices.of(params)
    ids, kinds = known.rows["id"].to_pylist(), known.rows["kind"].to_pylist()
    row = {id_: image for image, id_ in enumerate(prepared.rows["id"].to_pylist())}
    drawn = {place: prepared.array[row[ids[place]]] for place in places if kinds[place] == "real"}
    refined = [place for place in places if kinds[place] != "real"]
    if refined:
        model = autoencoding.load(autoencoder, where)
        decoded_NCHW = autoencoding.decode(
            model,
            known.latents[refined],
            known.space,
            params.sample.batch or autoencoding.DECODED,
            where,
        )
        drawn |= dict(zip(refined, decoded_NCHW, strict=True))
    return drawn


def _samples(part: Part, side: int) -> list[Sample]:
    """Return what `evaluate` kept of a model."""
    return [
        Sample(
            pictures.data_uri(image, side),
            row["seed"],
            row["ratio"],
            row["memorised"],
            [
                Neighbour(*near)
                for near in zip(row["nearest"], row["mirrored"], row["distance"], strict=True)
            ],
        )
        for image, row in zip(part.array, part.rows.to_pylist(), strict=True)
    ]


def _images(prepared: Part, kept: Iterable[Part], side: int) -> dict[str, tuple[str, str]]:
    """Return the training images that samples are near to: picture and file by id."""
    needed = {id_ for part in kept for near in part.rows["nearest"].to_pylist() for id_ in near}
    rows = zip(prepared.rows.to_pylist(), prepared.array, strict=True)
    return {
        row["id"]: (pictures.data_uri(image, side), row["source"])
        for row, image in rows
        if row["id"] in needed
    }


def _facts(params: Params, found: Results, metrics: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return what the numbers were obtained by: the protocol, other documents, the parameters."""
    final = found.documents[params.final]
    protocol = {key: value for key, value in final.items() if key not in results.NO_PROTOCOL}
    facts = [
        ("Metrics, of every model", protocol),
        ("Collapse, of the final model", found.diagnoses[params.final]),
        ("Images", files.read_json(metrics / "prepare.json")),
        ("Autoencoder", files.read_json(metrics / "autoencoder.json")),
    ]
    sections = params.model_dump(by_alias=True, include=set(SECTIONS))
    return facts + [(f"params.yaml: {name}", _flat(sections[name])) for name in SECTIONS]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a section by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = ", ".join(map(str, value)) if isinstance(value, tuple) else value
    return found


if __name__ == "__main__":
    command.run(page)
