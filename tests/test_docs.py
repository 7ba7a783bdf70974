"""README and docs say what the code does: commands exist, links resolve, tables are measured.

`uv run python tests/test_docs.py` writes the measured tables into the pages.
"""

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.cli.parser import get_main_parser
from ruamel.yaml import YAML

from lirf import params
from lirf.measure.table import METRICS
from lirf.report import tables

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
DATA = ROOT / "data"
COMPARISON = DATA / "studies" / "comparison"
MAIN: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
STUDIES: dict[str, dict[str, Any]] = {
    name: YAML(typ="safe").load(ROOT / "pipeline" / "studies" / f"{name}.yaml")
    for name in ("pretrain", "spaces", "spiral")
}
PARAMS: dict[str, Any] = MAIN | {key: one for file in STUDIES.values() for key, one in file.items()}

BANNED = {  # word: what to say instead
    r"cop(y|ies|ied)": "memorised, or view",
    r"planes?": "toy data",
    r"embedded": "bundled",
    r"fitting": "training",
    r"pull(s|ed|ing)?": "moves towards",
    r"published (model|folder)": "exported",
    r"augmented images?": "views",
}
ALLOWED = ("tangent plane", "dvc pull")
LEFT_OUT = {"density → 1", "Vendi ↑", "bank rows"}  # of the README's table
PARTS = {  # what stands in its place: study and method of runs.tsv
    "the loop as it stands": ("parts", "lirf"),
    "no augmentation": ("parts", "unaugmented"),
    "12 % of all rows augmented, not half": ("augment", "share-0.12"),
    "30 % of them": ("augment", "share-0.3"),
    "no variance restored, not 0.6": ("parts", "restore-0"),
    "all of it": ("parts", "restore-1"),
    "lambda 0.2, not 0.6": ("lambda", "fixed-0.2"),
    "lambda 0.8": ("lambda", "fixed-0.8"),
    "fresh weights in every round": ("parts", "fresh"),
    "threshold: the anchors' median move, not their largest": ("tau", "quantile-0.5"),
    "threshold: their move's quantile 0.1": ("tau", "quantile-0.1"),
    "threshold: their spacing times lambda": ("tau", "spacing-1.0"),
    "threshold: half of that": ("tau", "spacing-0.5"),
    "the thinnest half is kept, not all": ("parts", "thinnest"),
    "one round, not three": ("delta", "rounds-1"),
    "nine rounds": ("delta", "rounds-9"),
    "one candidate an anchor, not ten": ("ratio", "ratio-1"),
    "three candidates": ("ratio", "ratio-3"),
    "four neighbours, one dimension, not two": ("neighbours", "plane-4-1"),
    "eight neighbours, three dimensions": ("neighbours", "plane-8-3"),
    "the published operator": ("parts", "slerp"),
    "no cooldown of the learning rate": ("parts", "steady"),
    "half of every batch real, not a fifth": ("parts", "real"),
    "bank rows equally likely": ("parts", "unmixed"),
    "the whole bank as neighbours": ("parts", "bank"),
    "no novelty floor": ("parts", "novelty-off"),
}


def results() -> str:
    """Return the report's table without the rounds, in the columns that fit a first look."""
    lines = (DATA / "report" / "table.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    kept = [place for place, name in enumerate(rows[0]) if name not in LEFT_OUT]
    short = [[row[place] for place in kept] for row in rows if row[0] not in PARAMS["rounds"]]
    notes = [line for line in lines if line[:1] != "|"]
    return "\n".join([*("| " + " | ".join(row) + " |" for row in short), *notes, ""])


def comparison() -> str:
    """Return the comparison's tables, and its picture."""
    picture = "../data/studies/comparison/tradeoff.png"
    text = (COMPARISON / "table.md").read_text()
    return f"{text}\n![memorised samples against Frechet distance]({picture})\n"


def parts() -> str:
    """Return the digits' numbers at seed 0 with one part of the loop changed at a time."""
    keys = ("memorised", "precision", "recall", "density", "coverage", "frechet")
    with (COMPARISON / "runs.tsv").open(newline="") as file:
        found = {
            (row["study"], row["method"]): row
            for row in csv.DictReader(file, delimiter="\t")
            if (row["dataset"], row["seed"]) == ("digits", "0")
        }
    lines = [f"| changed | {' | '.join(keys)} |", f"|---|{'---:|' * len(keys)}"]
    for name, place in PARTS.items():
        numbers = (f"{float(found[place][key]):.3f}" for key in keys)
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join([*lines, ""])


def meanings() -> str:
    """Return what each metric means, and what it is held against."""
    rows = [[metric.head, metric.meaning, metric.against] for metric in METRICS]
    return tables.markdown(["number", "meaning", "against"], rows, "l") + "\n"


BLOCKS = {
    "results": (README, results),
    "meanings": (ROOT / "docs" / "metrics.md", meanings),
    **{write.__name__: (ROOT / "docs" / "comparison.md", write) for write in (comparison, parts)},
}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", flags=re.DOTALL)


def written(page: Path) -> str:
    """Return what people wrote on a page: all but the blocks of measured tables."""
    text = page.read_text()
    for name in BLOCKS:
        text = block(name).sub("", text)
    return text


@pytest.fixture(name="page", params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def of_each(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_the_readme_opens_with_the_two_commands_and_is_short():
    text = README.read_text()
    assert [" ".join(words) for words in commands(text)][:2] == ["dvc repro", "pytest"]
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("uv run pytest")
    assert len(text.splitlines()) <= 200


def test_every_page_of_docs_says_for_whom_it_is_and_is_linked():
    for page in PAGES[1:]:
        title, gap, audience = page.read_text().splitlines()[:3]
        assert (title[:2], gap, audience[:7]) == ("# ", "", "For who"), page.name
        assert f"](docs/{page.name})" in README.read_text()


def test_its_links_and_pictures_are_there(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        found = (page.parent / path) if path else page
        if "://" in target or (found.is_relative_to(DATA) and not DATA.exists()):
            continue
        assert found.exists(), target
        assert not heading or heading in headings(found.read_text()), target


def headings(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("name", BLOCKS)
def test_its_tables_are_those_of_the_measured_files(name: str):
    path, write = BLOCKS[name]
    (shown,) = block(name).findall(path.read_text())
    if not DATA.exists():
        pytest.skip("data/ is not here")
    assert shown == write()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `uv run` command after these two, in code blocks and in prose."""
    for line in re.findall(r"(?:^|`)(?:\w+=\S+ )*uv run ([^`\n]+)", text, flags=re.MULTILINE):
        words = shlex.split(line, comments=True)
        yield words[: words.index("&&")] if "&&" in words else words


def stages() -> set[str]:
    """Return every target of `dvc repro`."""
    found = set[str]()
    for graph in ("dvc.yaml", "pipeline/studies/dvc.yaml"):
        prefix = "" if graph == "dvc.yaml" else f"{graph}:"
        for name, body in YAML(typ="safe").load(ROOT / graph)["stages"].items():
            each = body.get("foreach", [])
            items = PARAMS[each[2:-1]] if isinstance(each, str) else each
            found |= {f"{prefix}{name}", *(f"{prefix}{name}@{item}" for item in items)}
    return found


def program(words: list[str]) -> Path | None:
    """Return the file of ours that a command runs, if any; raise where DVC has no such option."""
    match words:
        case ["python", "-m", module, *_]:
            path = ROOT / module.replace(".", "/")
            return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        case ["python", path, *_]:
            return ROOT / path
        case ["lirf", *_]:
            return ROOT / "stages" / "cli.py"
        case ["dvc", *rest]:
            get_main_parser().parse_args(rest)
        case [tool, *_]:
            assert tool in {"pytest", "prefect"}
    return None


def test_its_commands_exist(page: Path):
    for words in commands(written(page)):
        text = " ".join(words)
        source = program(words)
        if source:
            options = [word.lstrip("-") for word in words if word[0] == "-" and word != "-m"]
            assert all(re.search(rf"\b{name}\b", source.read_text()) for name in options), text
        paths = [
            word for word in words if re.match(r"(tests|pipeline)/\S+(\.py|prefect\.yaml)$", word)
        ]
        assert all((ROOT / path).exists() for path in paths), text
        targets = [word for word in words[2:] if word[0] != "-"] if "repro" in words else []
        targets += [word.rpartition("=")[2] for word in words if re.search(r"\w@\w", word)]
        assert {*targets} <= stages(), text
        assert all(map(in_params, re.findall(r"-S ([\w.]+)=", text))), text


def in_params(key: str) -> bool:
    """Say whether `params.yaml` has a dotted key."""
    found: Any = PARAMS
    for name in key.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def test_the_parameters_that_it_names_exist(page: Path):
    text = written(page)
    for key in re.findall(r"`([a-z]+(?:\.[a-z0-9_]+)+)(?:: [^`]*)?`", text):
        assert key.split(".")[0] not in PARAMS or in_params(key), key
    for example in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
        document = dict(MAIN)
        for name, section in YAML(typ="safe").load(example).items():
            document[name] = {**MAIN.get(name, {}), **section}
        model = params.SpacesParams if "spaces" in document else params.Params
        params.validate(model, document, text)


def test_the_files_that_it_names_exist(page: Path):
    found = re.findall(r"`((?:lirf|stages|pipeline|docs|tests)/[\w./-]*)`", written(page))
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_its_words_are_the_projects(page: Path):
    text = " ".join(written(page).split()).lower()
    for phrase in ALLOWED:
        text = text.replace(phrase, "")
    for word, better in BANNED.items():
        found = re.search(rf".{{0,30}}\b{word}\b", text)
        assert found is None, f"{found and found[0]}: say {better}"


def test_the_layout_has_a_line_for_every_room_and_stage():
    text = README.read_text()
    rooms = {f"lirf/{path.parent.name}/" for path in (ROOT / "lirf").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(lirf/\w+/)` \|", text, flags=re.MULTILINE)) == rooms
    listed = text.partition("| stage |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| `([a-z]+)` \|", listed, flags=re.MULTILINE))
    assert {"prepare", "train", "sample", "correct", "admit", "merge", "evaluate"} <= named
    assert named <= stages()


def test_ten_changes_name_the_file_where_each_starts():
    table = README.read_text().partition("| to change | start in |\n|---|---|\n")[2]
    table = table.partition("\n\n")[0]
    rows = re.findall(
        r"^\| [^|]+ \| `([^`|]+)` \|$", table.partition("\n\n")[0], flags=re.MULTILINE
    )
    assert len(rows) >= 10
    assert [path for path in rows if not (ROOT / path).is_file()] == []


def test_the_python_of_the_readme_draws_images(tmp_path: Path):
    if not (DATA / "model").exists():
        pytest.skip("there is no model here")
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    check = "assert len({image.tobytes() for image in images}) == 64 and more.shape[0] == 4"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{check}"],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    for name, (path, write) in BLOCKS.items():
        text = write()
        path.write_text(block(name).sub(lambda _, text=text: text, path.read_text()))
