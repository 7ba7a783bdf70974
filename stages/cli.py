"""`lirf`: start with a folder of images; draw, look at and push what a published model makes.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from lirf.publish.exported import Solver

# ruff: noqa: PLC0415 - see above

MOST_IMAGES = 100_000
MOST_SHOWN = 1000
MOST_STEPS = 10_000
MOST_BATCH = 4096
SOLVERS = ("euler", "heun", "midpoint", "dopri5")
NEAREST = 4
OUT = "folder for the images, or a .png: all in one picture"
KINDS = (".png", ".html", ".tsv")
SCORES = (".json", ".html")
INTERRUPTED = 130  # exit status, as shells have it


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with exit status 2."""
        self.exit(2, f"error: {message}; `{self.prog} --help` says more\n")


class Version(argparse.Action):
    """An option that prints the version and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it."""
        from importlib.metadata import version

        print(f"lirf {version('lirf')}")  # noqa: T201
        parser.exit()


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
        sys.exit(f"error: out of memory; lower {options.lower}")


def init(options: argparse.Namespace) -> None:
    """Look at a folder of images, write params.yaml for it, say how long it will take."""
    from stages.support import start

    wanted = start.Wanted(options.images, options.recipe, options.resolution, options.dry_run)
    for line in start.init(wanted):
        print(line, flush=True)  # noqa: T201


def sample(options: argparse.Namespace) -> None:
    """Write images of a published model, and their seeds beside them; or one picture of them all.

    Image i depends on the model, the solver, --seed and i alone. Every file is whole or not there.
    """
    from stages.support import sets

    out: Path = options.out.resolve()
    earlier = sets.require_free(out, options.overwrite)
    picture = sets.is_picture(out)
    if picture and options.count > MOST_SHOWN:
        raise ValueError(
            f"--count {options.count}: one picture shows at most {MOST_SHOWN}; name a folder in"
            " --out, or lower it"
        )
    import numpy as np
    from tqdm import tqdm

    from lirf.publish import exported
    from lirf.report import pictures
    from lirf.sampling import sampler
    from lirf.training import devices

    where = devices.choose(options.device)
    model = exported.load(options.model, where)
    solver = _solver(model.solver, options)
    seeds = sampler.seeds(options.seed, "sample", options.count)
    if picture:
        sets.make_folder(out.parent)
    places = iter([] if picture else sets.begin(out, earlier, seeds))
    shown: list[np.ndarray] = []
    with tqdm(total=len(seeds), desc="sample", unit="image", disable=None) as bar:
        for z_BCHW in sampler.sample(model.field, seeds, model.space.shape, solver, where):
            made_BCHW = model.decoder.images(z_BCHW.numpy(), model.space, options.batch, where)
            if picture:
                shown.append(made_BCHW)
            for image_CHW in () if picture else made_BCHW:
                with sets.whole(next(places)) as path:
                    pictures.save(pictures.single(image_CHW), path)
            bar.update(len(made_BCHW))
    if picture:
        columns = int(np.ceil(np.sqrt(len(seeds))))
        with sets.whole(out) as path:
            pictures.save(pictures.grid(np.concatenate(shown), columns), path)


def nearest(options: argparse.Namespace) -> None:
    """Show images beside their nearest training images, and say how many are memorised."""
    _require_images(options.images, "--images")
    _require_images(options.training, "--training")
    kind = options.out.suffix.lower()
    if kind not in KINDS:
        raise ValueError(
            f"{options.out}: not known by its ending; name a file that ends in {', '.join(KINDS)}"
        )
    import numpy as np

    from lirf.autoencoder import model as ae
    from lirf.features import features
    from lirf.images import decode, folder
    from lirf.measure import nearest as nearest_images
    from lirf.measure.memorised import find_memorised
    from lirf.publish import exported
    from lirf.report import closest, pictures
    from lirf.training import devices
    from stages.support import sets

    where = devices.choose(options.device)
    prepare = exported.read_prepare(options.model)
    autoencoder = ae.load(options.model / exported.AUTOENCODER, where)

    def read(images: Path) -> tuple[np.ndarray, list[str]]:
        found = [file for file in folder.find(images)[0] if file.split == "train"]
        if not found:
            raise ValueError(f"{images}: all images in it are held out; there are none to compare")
        pixels = [decode.load(file.path, prepare).pixels for file in found]
        return np.stack(pixels), [file.name for file in found]

    images_MCHW, names = read(options.images)
    train_NCHW, train_names = read(options.training)
    extract = features.of("pixels").extract
    known_VNCHW = nearest_images.versions(
        train_NCHW, lambda seen: ae.round_trip(autoencoder, seen, options.batch, where)
    )
    memorised = find_memorised(
        extract(images_MCHW), np.stack([extract(known) for known in known_VNCHW]), nearest=NEAREST
    )
    result = closest.closest(images_MCHW, names, train_NCHW, train_names, memorised, options.first)
    sets.make_folder(options.out.parent)
    with sets.whole(options.out) as path:
        if kind == ".png":
            pictures.save(result.picture(), path)
        else:
            path.write_text(result.page() if kind == ".html" else result.table(), encoding="utf-8")
    print(f"{int(memorised.memorised.sum())} of {len(names)} images are memorised")  # noqa: T201


def score(options: argparse.Namespace) -> None:
    """Judge a folder of images, whatever made them, beside held-out ones."""
    outs: list[Path] = options.out or []
    for out in outs:
        if out.is_dir():
            raise ValueError(f"{out}: a folder; name a file with --out")
        if out.suffix.lower() not in SCORES:
            raise ValueError(
                f"{out}: not known by its ending; name a file that ends in {' or '.join(SCORES)}"
            )
        if out.exists() and not options.overwrite:
            raise ValueError(f"{out}: is there; name another file or add --overwrite")
    from lirf.store import files
    from lirf.training import devices
    from stages.support import score as scoring
    from stages.support import sets

    wanted = scoring.Wanted(
        options.samples,
        options.training,
        options.heldout,
        options.features,
        options.resolution,
        options.neighbours,
    )
    scored = scoring.score(wanted, devices.choose(options.device))
    for line in scored.warnings:
        print(line, file=sys.stderr)  # noqa: T201
    for line in scoring.lines(scored.document):
        print(line)  # noqa: T201
    for out in outs:
        sets.make_folder(out.parent)
        with sets.whole(out) as path:
            if out.suffix.lower() == ".json":
                files.write_json(path, scored.document)
            else:
                path.write_text(scoring.page(scored), encoding="utf-8")


def push(options: argparse.Namespace) -> None:
    """Upload a published model to the Hugging Face hub."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, get_token

    from lirf.publish import exported

    name = exported.read_provenance(options.model)["name"]
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


def _solver(solver: Solver, options: argparse.Namespace) -> Solver:
    """Return how to integrate: as the model says, but for what the user asks otherwise."""
    from dataclasses import replace

    asked = {"solver": options.solver, "steps": options.steps, "batch": options.batch}
    changed = replace(solver, **{key: value for key, value in asked.items() if value is not None})
    if options.steps is not None and changed.solver == "dopri5":
        raise ValueError(f"--steps {options.steps}: dopri5 chooses its own; leave it out")
    return changed


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
    parser.add_argument("--version", action=Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(
        run: Callable[[argparse.Namespace], None], text: str, *, of_model: bool = True
    ) -> Parser:
        added = commands.add_parser(run.__name__, help=text, description=text)
        added.set_defaults(run=run, lower="--batch")
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
    one.add_argument("--out", type=Path, required=True, help=OUT)
    one.add_argument("--count", type=_whole_number(1, MOST_IMAGES), default=64, help="[64]")
    one.add_argument("--seed", type=_whole_number(0, 2**63 - 1), default=0, help="[0]")
    one.add_argument("--solver", choices=SOLVERS, help="[the model's own]")
    one.add_argument("--steps", type=_whole_number(1, MOST_STEPS), help="[the model's own]")
    one.add_argument("--overwrite", action="store_true", help="in place of an earlier set")

    two = command(nearest, "show images beside their nearest training images")
    two.add_argument("--images", type=Path, required=True, help="folder of generated images")
    two.add_argument("--training", type=Path, required=True, help="folder of training images")
    two.add_argument("--out", type=Path, required=True, help=f"file: {' or '.join(KINDS)}")
    shown = "how many to show, nearest first [100]"
    two.add_argument("--first", type=_whole_number(1, MOST_SHOWN), default=100, help=shown)

    four = command(score, "judge images, whatever made them, by held-out ones", of_model=False)
    four.epilog = (
        "Memorised are copies of training images as they are or mirrored; `evaluate` also looks for"
        " what the autoencoder makes of them, and here is none."
    )
    four.add_argument("--samples", type=Path, required=True, help="folder of generated images")
    four.add_argument("--training", type=Path, required=True, help="folder of training images")
    # Not `required`: what says that it is missing also says why it is needed.
    unseen = "folder of images that were not trained on, needed: else memorising scores best"
    four.add_argument("--heldout", type=Path, help=unseen)
    chosen = "in which distances are measured [imagenet from 32 px on]"
    four.add_argument("--features", choices=("pixels", "imagenet", "inception"), help=chosen)
    four.add_argument("--resolution", type=_whole_number(8, 512), help="px [the samples' own]")
    four.add_argument("--neighbours", type=_whole_number(1, 100), default=5, help="[5]")
    written = "file: .json, all numbers; .html, a page; may be given twice"
    four.add_argument("--out", type=Path, action="append", help=written)
    four.set_defaults(lower="--resolution")
    four.add_argument("--overwrite", action="store_true", help="in place of an earlier file")
    four.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")

    for drawn in (one, two):
        drawn.add_argument("--batch", type=_whole_number(1, MOST_BATCH), default=64, help="[64]")
        drawn.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")

    three = command(push, "upload a model to the Hugging Face hub, with your own token")
    three.add_argument("--repo", required=True, help="USER/NAME on the hub")
    three.add_argument("--private", action="store_true", help="only you can see it")
    return parser


if __name__ == "__main__":
    main()
