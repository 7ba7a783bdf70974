"""Feed the readers of images, params, plans, stores, tables and checkpoints what nobody wrote.

    uv run python tests/fuzz.py --inputs 100000 --seed 0

Inputs are mutations of good files. One that reaches a line of ours that none before it has reached
is kept and mutated further. A file within a store is signed anew, as somebody would do who makes a
store by hand: checksums alone would refuse it. A reader may return, or raise a ValueError of one
line. Anything else is a finding, and so are 2 s of computing, a file written elsewhere than here, a
pickle, a process or a connection.
"""

import argparse
import copy
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch
from made import Page, png, tiff
from PIL import Image
from ruamel.yaml import YAML

import lirf
from lirf import params
from lirf.images import decode
from lirf.store import banks, files, parts, tables
from lirf.store.space import Space
from lirf.studies import plan
from lirf.training import checkpoint
from lirf.training import state as states

ROOT = Path(__file__).parents[1]
LONGEST_S = 2.0
SPACE = Space("f00d", (2, 3, 3), (0.5, -1.0), (2.0, 0.25))
PARAMS = params.load(ROOT / "params.yaml")
FORBIDDEN = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "socket.connect")

NUMBERS = (b"-1", b"0", b"1e999", b"NaN", b"99999999999999999999", b"2147483648", b"1.5", b"true")
TOKENS = (
    *(b"../../../etc/passwd", b"/etc/passwd", b"\x00", b"\x1b[2J", b"\n", b"\xff\xfe", b"null"),
    *(b"[]", b"{}", b'"', b"[" * 50, b"&a ", b"*a", b"<<: *a", b"? ", b"!!python/name:os.x "),
    *(b"- ", b": ", b"!!binary x", b"!!timestamp 2001-99-99", b"0o9", b"0b2", b"1:60:60", b"|"),
    *(b'{"id": "pickle"}', b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04\x95", b"PAR1"),
    *(b">", b"\x28\xb5\x2f\xfd"),
)
NAMES = ("x", "seed", "", "a\nb", "kind", 7, None)
ODD = (
    *(-1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "x" * 5000, "\x1b[2J\n", "../.."),
    *(None, True, [], {}, [[]], {"kind": "mlp"}, b"x", "r01", 0.5, {1: 2}, {"a\nb": 1}),
)


@dataclass(frozen=True)
class Target:
    """A reader: good inputs, and how it is given one below a folder."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], object]
    share: float  # of all inputs


@dataclass
class Tally:
    """What came out."""

    inputs: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    spent_s: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [
            f"  {name}: {count} inputs, {self.refused[name]} refused, {self.kept[name]} kept,"
            f" {self.spent_s[name]:.0f} s"
            for name, count in self.inputs.items()
        ]
        found = [f"  {text}" for text in self.findings]
        head = f"{self.inputs.total()} inputs, slowest {self.slowest_s:.2f} s"
        return "\n".join([head, *rows, f"findings: {len(found)}", *found])


def fuzz(targets: list[Target], inputs: int, seed: int, folder: Path) -> Tally:
    """Give `targets` that many inputs by their shares, and say how far it is."""
    tally, seen = Tally(), set[tuple[str, int]]()
    with watched(folder) as broken, traced(seen):
        for target in targets:
            draw = random.Random(f"{seed} {target.name}")
            corpus = list(target.seeds)
            for number in range(max(len(corpus), round(inputs * target.share))):
                fresh = number < len(corpus) and number < len(target.seeds)
                content = corpus[number] if fresh else mutate(draw, corpus)
                before = len(seen)
                attempt(target, content, tally, broken)
                if len(seen) > before and not fresh:
                    corpus.append(content)
                    tally.kept[target.name] += 1
            print(f"{target.name}: done", file=sys.stderr)  # noqa: T201
    return tally


def attempt(target: Target, content: bytes, tally: Tally, broken: list[str]) -> None:
    """Give a reader one input, and add what happens to `tally`."""
    found = list[str]()
    began = time.process_time()
    try:
        target.read(content)
    except ValueError as error:
        tally.refused[target.name] += 1
        if not str(error).isprintable():
            found.append(f"not one printable line: {error!r}")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            found.append(f"{type(error).__name__}: {error}")
    except BaseException as error:
        found.append(f"{type(error).__name__}: {error}")
    took_s = time.process_time() - began
    if took_s > LONGEST_S:
        found.append(f"took {took_s:.1f} s")
    found += broken
    broken.clear()
    tally.spent_s[target.name] += took_s  # pyright: ignore[reportArgumentType] - it adds
    tally.slowest_s = max(tally.slowest_s, took_s)
    tally.inputs[target.name] += 1
    tally.findings += [f"{target.name}: {text[:300]}; input {content[:400]!r}" for text in found]


def mutate(draw: random.Random, corpus: list[bytes]) -> bytes:
    """Return a changed copy of an input, the newest ones more often."""
    place = max(draw.randrange(len(corpus)), draw.randrange(len(corpus)))
    content = bytearray(corpus[place])
    for _ in range(draw.choice([1, 1, 1, 2, 4, 8])):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice([1, 1, 2, 4, 16, 64]))
        match draw.randrange(8):
            case 0 if content:
                content[start % len(content)] ^= 1 << draw.randrange(8)
            case 1 if content:
                content[start % len(content)] = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                del content[start:end]
            case 3:
                content[start:start] = content[start:end] * draw.choice([1, 2, 50])
            case 4:
                del content[start:]
            case 5:
                content[start:end] = draw.choice(TOKENS)
            case 6:
                _change_number(draw, content)
            case 7:
                other = draw.choice(corpus)
                cut = draw.randrange(len(other) + 1)
                content[start:end] = other[cut : cut + draw.choice([4, 32, 256])]
            case _:
                pass
    return bytes(content[:300_000])


def _change_number(draw: random.Random, content: bytearray) -> None:
    digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
    if digits:
        start = end = draw.choice(digits)
        while end < len(content) and 48 <= content[end] < 58:
            end += 1
        content[start:end] = draw.choice(NUMBERS)


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Yield a list that gets what no reader may do: the interpreter itself reports it."""
    broken, inside = list[str](), [True]
    home = str(folder.resolve())

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if not inside[0]:
            return
        if event in FORBIDDEN:
            broken.append(f"{event} {arguments!r}")
        elif event == "open" and isinstance(arguments[0], str):
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not os.path.realpath(path).startswith((home, "/dev/")):
                broken.append(f"opens {path} to write ({mode})")
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree") and not (
            os.path.realpath(arguments[0]).startswith(home)
        ):
            broken.append(f"{event} {arguments[0]!r}")

    sys.addaudithook(audit)
    try:
        yield broken
    finally:
        inside[0] = False


@contextmanager
def traced(seen: set[tuple[str, int]]) -> Iterator[None]:
    """Add every line of ours that runs to `seen`."""
    ours = str(Path(str(lirf.__file__)).parent)
    known: dict[CodeType, bool] = {}

    def calls(frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if code not in known:
            known[code] = code.co_filename.startswith(ours)
        return lines if known[code] else None

    def lines(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return lines

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        yield
    finally:
        sys.settrace(before)


def targets(folder: Path) -> list[Target]:
    """Return all readers, with their good files below `folder`."""
    return [_images(folder), *_yaml(folder), *_store(folder), *_checkpoint(folder)]


def _images(folder: Path) -> Target:
    generator = np.random.default_rng(0)
    seeds = []
    for mode, kind in [("L", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("I;16", "PNG"),
                       ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("RGBA", "WEBP"),
                       ("L", "TIFF"), ("RGB", "TIFF"), ("1", "TIFF"), ("RGB", "BMP")]:  # fmt: skip
        image = Image.fromarray(generator.integers(0, 256, (9, 12, 3), np.uint8)).convert(
            "L" if mode == "I;16" else mode
        )
        image = image.convert("I;16") if mode == "I;16" else image
        buffer = io.BytesIO()
        compression = {"compression": "tiff_lzw"} if kind == "TIFF" and mode == "RGB" else {}
        image.save(buffer, kind, **compression)
        seeds.append(buffer.getvalue())
    values = generator.integers(0, 65536, (9, 12, 1))
    seeds += [tiff(Page(values, 16, 0), Page(values, 16), Page(values, 16, tags={254: 1}))]
    seeds += [png(values, 16, 0, (b"tRNS", b"\0\1")), seeds[5].removesuffix(b"\xff\xd9")]
    path = folder / "image.png"

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return decode.load(path, PARAMS.prepare)

    return Target("images", seeds, read, 0.3)


def _yaml(folder: Path) -> list[Target]:
    path = folder / "params.yaml"
    whole = (ROOT / "params.yaml").read_bytes()
    small = [
        b"device: auto\nprepare: {images: x, resolution: 8}\n",
        b"a: &a [1, 2]\nb: *a\nrounds: {r01: {<<: {after: r00}, lambda: 0.8}}\n",
        b"train:\n  betas: [0.9, 0.999]\n  clip_norm: null\n",
    ]
    base = YAML(typ="safe").load(whole)
    comparison = YAML(typ="safe").load(ROOT / "pipeline" / "studies" / "comparison.yaml")

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return params.load(path)

    def values(model: Any, document: dict[str, Any]) -> Callable[[bytes], object]:
        def check(content: bytes) -> object:
            changed = json.loads(json.dumps(document))
            draw = random.Random(content)
            for _ in range(draw.choice([1, 1, 2, 5])):
                _change_value(draw, changed)
            return params.validate(model, changed, path.name)

        return check

    return [
        Target("yaml", small, read, 0.104),
        Target("params", [whole], read, 0.001),
        Target("params' values", [b"0"], values(params.Params, base), 0.15),
        Target("plans' values", [b"0"], values(plan.Plan, comparison), 0.1),
    ]


def _change_value(draw: random.Random, document: Any) -> None:
    """Change, add or remove something within nested mappings and lists."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(document[key], dict | list) and document[key] and draw.random() < 0.8:
            document = document[key]
            continue
        match draw.randrange(4):
            case 0:
                del document[key]
            case 1 if isinstance(document, dict):
                document[draw.choice(NAMES)] = copy.deepcopy(draw.choice(ODD))
            case _:
                document[key] = copy.deepcopy(draw.choice(ODD))
        return


def _store(folder: Path) -> list[Target]:
    bank, table = folder / "bank", folder / "table.parquet"
    latents = np.random.default_rng(0).normal(size=(5, *SPACE.shape)).astype(np.float32)
    rows = banks.bank_rows({"id": [f"train-{i:05d}" for i in range(5)]})
    banks.write(bank, "r00", latents, rows, SPACE)
    tables.write(table, rows)
    part = bank / "r00"

    def reader(path: Path, manifest: Path | None) -> Callable[[bytes], object]:
        good = path.read_bytes()

        def read(content: bytes) -> object:
            path.write_bytes(content)
            if manifest is not None:
                _sign(manifest, path)
            try:
                return banks.read(bank)
            finally:
                path.write_bytes(good)
                if manifest is not None:
                    _sign(manifest, path)

        return read

    def read_table(content: bytes) -> object:
        table.write_bytes(content)
        return tables.read(table)

    chunk = next(path for path in sorted((part / "array" / "c").rglob("*")) if path.is_file())
    manifest = part / parts.MANIFEST
    inside = {
        "arrays": (chunk, manifest, 0.04),
        "arrays' metadata": (part / "array" / "zarr.json", manifest, 0.05),
        "banks' tables": (part / "rows.parquet", manifest, 0.03),
        "manifests": (manifest, None, 0.05),
        "banks": (bank / banks.INDEX, None, 0.02),
    }
    found = [
        Target(name, [path.read_bytes()], reader(path, signed), share)
        for name, (path, signed, share) in inside.items()
    ]
    return [*found, Target("tables", [table.read_bytes()], read_table, 0.1)]


def _checkpoint(folder: Path) -> list[Target]:
    saved, cpu = folder / "weights", torch.device("cpu")
    network = params.Transformer(kind="transformer", patch=1, width=4, depth=1, heads=1)
    config = params.Initialize(seed=1, prediction="data", network=network)
    checkpoint.save(states.initial(config, SPACE, cpu), saved)

    def reader(path: Path) -> Callable[[bytes], object]:
        good = path.read_bytes()

        def read(content: bytes) -> object:
            path.write_bytes(content)
            if path.name != checkpoint.STATE:
                _sign(saved / checkpoint.STATE, path)
            try:
                return checkpoint.load(saved, cpu)
            finally:
                path.write_bytes(good)
                if path.name != checkpoint.STATE:
                    _sign(saved / checkpoint.STATE, path)

        return read

    shares = {checkpoint.STATE: 0.03, checkpoint.EMA: 0.015, checkpoint.OPTIMIZER: 0.01}
    return [
        Target(name, [(saved / name).read_bytes()], reader(saved / name), share)
        for name, share in shares.items()
    ]


def _sign(manifest: Path, path: Path) -> None:
    """Write the checksum of a changed file into the manifest above it."""
    document = json.loads(manifest.read_bytes())
    document["files"][path.relative_to(manifest.parent).as_posix()] = files.sha256(path)
    manifest.write_text(json.dumps(document))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="[100000]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--only", nargs="*", help="some of the readers")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="lirf-fuzz-"))
    began = time.monotonic()
    chosen = [one for one in targets(folder) if one.name in (options.only or [one.name])]
    tally = fuzz(chosen, options.inputs, options.seed, folder)
    print(f"{tally}\n{time.monotonic() - began:.0f} s, seed {options.seed}")  # noqa: T201
    shutil.rmtree(folder)
    sys.exit(bool(tally.findings))


if __name__ == "__main__":
    main()
