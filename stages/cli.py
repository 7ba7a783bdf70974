"""`lirf`: start with a folder of images; draw, look at and push what a published model makes.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import numpy as np

    from lirf.params import Sample
    from lirf.publish.export import Model

# ruff: noqa: PLC0415 - see above

MOST_IMAGES = 100_000
MOST_SHOWN = 1000
MOST_STEPS = 10_000
MOST_BATCH = 4096
SOLVERS = ("euler", "heun", "midpoint", "dopri5")
NEAREST = 4
INTERRUPTED = 130  # exit status, as shells have it


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with exit status 2."""
        self.exit(2, f"error: {message}; `{self.prog} --help` says more\n")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a mistake of the user's is one line and exit status 1 or 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted: what is written is whole", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    except (ValueError, OSError) as error:
        from stages.support.command import one_line

        sys.exit(f"error: {one_line(error)}")
    except (MemoryError, RuntimeError) as error:
        from stages.support.command import out_of_memory

        if not out_of_memory(error):
            raise
        sys.exit("error: out of memory; lower --batch")


def init(options: argparse.Namespace) -> None:
    """Look at a folder of images, write params.yaml for it, say how long it will take."""
    from stages.support import start

    wanted = start.Wanted(options.images, options.recipe, options.resolution, options.dry_run)
    for line in start.init(wanted):
        print(line, flush=True)  # noqa: T201


def sample(options: argparse.Namespace) -> None:
    """Write images of a published model, and their seeds beside them.

    Image i depends on the model, the solver, --seed and i alone. Every file is whole or not there.
    """
    out: Path = options.out.resolve()
    _require_free(out, options.overwrite)
    from tqdm import tqdm

    from lirf.autoencoder import model as ae
    from lirf.publish import export
    from lirf.report import pictures, tables
    from lirf.sampling import sampler
    from lirf.training import devices

    where = devices.choose(options.device)
    model = export.load(options.model, where)
    config = _solver(model, options)
    seeds = sampler.seeds(options.seed, "sample", options.count)
    names = [f"{index:05d}.png" for index in range(len(seeds))]
    _make_folder(out)
    with whole(out / "seeds.tsv") as path:
        path.write_text(tables.tsv(tables.transposed({"file": names, "seed": seeds})))
    shown: list[np.ndarray] = []
    places = iter(names)
    with tqdm(total=len(names), desc="sample", unit="image", disable=None) as bar:
        for z_BCHW in sampler.sample(model.field, seeds, model.space.shape, config, where):
            images_BCHW = ae.decode(
                model.autoencoder, z_BCHW.numpy(), model.space, options.batch, where
            )
            for image_CHW in images_BCHW:
                with whole(out / next(places)) as path:
                    pictures.save(pictures.single(image_CHW), path)
                if len(shown) < MOST_SHOWN and options.grid:
                    shown.append(image_CHW)
                bar.update()
    if options.grid:
        import numpy as np

        columns = int(np.ceil(np.sqrt(len(shown))))
        with whole(out.with_name(f"{out.name}-grid.png")) as path:
            pictures.save(pictures.grid(np.stack(shown), columns), path)


def nearest(options: argparse.Namespace) -> None:
    """Draw images beside their nearest training images, and say how many are memorised."""
    _require_images(options.images, "--images")
    _require_images(options.training, "--training")
    if options.out.suffix.lower() != ".png":
        raise ValueError(f"{options.out}: the picture is a PNG; name a file that ends in .png")
    import numpy as np

    from lirf.autoencoder import model as ae
    from lirf.features import features
    from lirf.images import decode, folder
    from lirf.measure import nearest as nearest_images
    from lirf.measure.memorised import find_memorised
    from lirf.publish import export
    from lirf.report import pictures
    from lirf.training import devices

    where = devices.choose(options.device)
    model = export.load(options.model, where)

    def read(where: Path) -> np.ndarray:
        found = [file for file in folder.find(where)[0] if file.split == "train"]
        if not found:
            raise ValueError(f"{where}: all images in it are held out; there are none to compare")
        return np.stack([decode.load(file.path, model.prepare).pixels for file in found])

    def round_trip(images_NCHW: np.ndarray) -> np.ndarray:
        raw = ae.encode(model.autoencoder, images_NCHW, options.batch, where)
        scaled = model.space.scale(raw)
        return ae.decode(model.autoencoder, scaled, model.space, options.batch, where)

    shown_RCHW, train_NCHW = read(options.images)[: options.first], read(options.training)
    extract = features.of("pixels").extract
    known_VNCHW = nearest_images.versions(train_NCHW, round_trip)
    memorised = find_memorised(
        extract(shown_RCHW), np.stack([extract(known) for known in known_VNCHW]), nearest=NEAREST
    )
    notes = [
        f"{distance:.2f}, {ratio:.2f}{' memorised' if found else ''}"
        for distance, ratio, found in zip(
            memorised.distance[:, 0], memorised.ratio, memorised.memorised, strict=True
        )
    ]
    picture = pictures.captioned(
        nearest_images.panel(shown_RCHW, train_NCHW, memorised, notes),
        f"{len(notes)} images, each beside its {memorised.nearest.shape[1]} nearest training ones.",
        "Numbers: distance to the nearest in pixels (0 to 1 each);",
        "that over the distance to the second: below 1/3 memorised (framed).",
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with whole(options.out) as path:
        pictures.save(picture, path)
    print(f"{int(memorised.memorised.sum())} of {len(notes)} images are memorised")  # noqa: T201


def push(options: argparse.Namespace) -> None:
    """Upload a published model to the Hugging Face hub."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, get_token

    from lirf.publish import export

    name = export.read_provenance(options.model)["name"]
    token = get_token()
    if token is None:
        raise ValueError("no token of the Hugging Face hub; set HF_TOKEN or run `hf auth login`")
    hub = HfApi(token=token)
    try:
        hub.create_repo(options.repo, private=options.private, exist_ok=True)
        url = hub.upload_folder(
            repo_id=options.repo, folder_path=options.model, commit_message=f"Publish {name}"
        )
    except HTTPError as error:
        raise ValueError(f"{options.repo}: not pushed to {hub.endpoint}: {error}") from None
    print(url)  # noqa: T201


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; it becomes `path` if nothing goes wrong."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _solver(model: Model, options: argparse.Namespace) -> Sample:
    """Return how to integrate: as the model says, but for what the user asks otherwise."""
    asked = {"solver": options.solver, "steps": options.steps, "batch": options.batch}
    changes = {key: value for key, value in asked.items() if value is not None}
    config = model.sample.model_copy(update=changes)
    if options.steps is not None and config.solver == "dopri5":
        raise ValueError(f"--steps {options.steps}: dopri5 chooses its own; leave it out")
    return config


def _require_free(out: Path, overwrite: bool) -> None:
    """Check that images may be written to `out`."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: not a folder; name one with --out")
    if out.is_dir() and not overwrite and any(out.iterdir()):
        raise ValueError(f"{out}: not empty; name another folder or add --overwrite")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{out}: cannot be made ({error.strerror}); name another --out") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"{out}: cannot be written to; name another --out")


def _require_images(folder: Path, option: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; {option} is a folder of images")


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number from `low` to `high`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value}: must be from {low} to {high}")
        return value

    return read


def _parser() -> Parser:
    """Return the options of all commands."""
    parser = Parser(prog="lirf", description="Start with images; use a published model.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(
        run: Callable[[argparse.Namespace], None], text: str, *, of_model: bool = True
    ) -> Parser:
        added = commands.add_parser(run.__name__, help=text, description=text)
        added.set_defaults(run=run)
        if of_model:
            model = "folder of a published model"
            added.add_argument("--model", type=Path, required=True, help=model)
        return added

    zero = command(init, "look at a folder, write params.yaml for it", of_model=False)
    zero.add_argument(
        "images",
        type=Path,
        metavar="FOLDER",
        help="of images; those in heldout/, test/ or val/ are not trained on",
    )
    zero.add_argument(
        "--recipe", help="a file of recipes/ without its .yaml [what suits the images]"
    )
    zero.add_argument(
        "--resolution", type=_whole_number(8, 512), help="px to train at [the recipe's]"
    )
    zero.add_argument("--dry-run", action="store_true", help="tell all, write nothing")

    one = command(sample, "draw images into a folder")
    one.add_argument("--out", type=Path, required=True, help="folder for the images")
    one.add_argument("--count", type=_whole_number(1, MOST_IMAGES), default=64, help="[64]")
    one.add_argument("--seed", type=_whole_number(0, 2**63 - 1), default=0, help="[0]")
    one.add_argument("--grid", action="store_true", help="also OUT-grid.png, all in one picture")
    one.add_argument("--solver", choices=SOLVERS, help="[the model's own]")
    one.add_argument("--steps", type=_whole_number(1, MOST_STEPS), help="[the model's own]")
    one.add_argument("--overwrite", action="store_true", help="even if the folder is not empty")

    two = command(nearest, "show images beside their nearest training images")
    two.add_argument("--images", type=Path, required=True, help="folder of generated images")
    two.add_argument("--training", type=Path, required=True, help="folder of training images")
    two.add_argument("--out", type=Path, required=True, help="PNG file")
    two.add_argument(
        "--first", type=_whole_number(1, MOST_SHOWN), default=100, help="images to show [100]"
    )

    for drawn in (one, two):
        drawn.add_argument("--batch", type=_whole_number(1, MOST_BATCH), default=64, help="[64]")
        drawn.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")

    three = command(push, "upload a model to the Hugging Face hub, with your own token")
    three.add_argument("--repo", required=True, help="USER/NAME on the hub")
    three.add_argument("--private", action="store_true", help="only you can see it")
    return parser


if __name__ == "__main__":
    main()
