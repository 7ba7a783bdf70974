"""The comparison's stage shows what the plan asks for, and refuses what cannot be compared."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lirf import params as settings
from lirf.studies import comparison
from stages.compare import compare
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
PARAMS = settings.load(ROOT / "params.yaml")
STUDY = {"title": "Methods", "datasets": ["digits"], "seeds": [0]}
PLAN = {
    "seed_keys": ["sample.seed"],
    "headline": "methods",
    "reference": "plain",
    "judged": "lirf",
    "datasets": {"digits": {}},
    "studies": {
        "methods": {
            **STUDY,
            "rows": {"plain": {"label": "plain", "target": "baseline"}, "lirf": {"label": "LIRF"}},
        },
        "ratio": {
            **STUDY,
            "title": "M / N",
            "rows": {"ratio": {"label": "{}", "grid": {"sample.ratio": [1, 3]}}},
        },
        "later": {**STUDY, "rows": {"none": {"label": "nothing yet"}}},
    },
    "targets": [{"metric": "memorised", "at_most": 0.05}],
}
VALUES = {
    "memorised": 0.01, "precision": 0.9, "recall": 0.1, "density": 1.5, "coverage": 0.5,
    "frechet": 2.0, "vendi": 12.0, "bank_rows": 100, "train_steps": 100, "n_fake": 1000,
    "n_train": 100, "n_reference": 1697, "reference": "heldout", "flip": False,
    "features": "pixels", "feature_hash": None, "neighbours": 5, "resolution": 8,
    "resize": "lanczos", "generator": "network", "mixup_neighbours": None,
    "solver": "heun", "solver_steps": 20, "evaluate_seed": 1,
    "autoencoder": "ab" * 32, "images": "embedded", "threads": 1, "code": "12" * 8,
}  # fmt: skip


def row(study: str, method: str, **own: Any) -> dict[str, Any]:
    place = {"study": study, "dataset": "digits", "method": method, "seed": 0, "target": "final"}
    return {**place, **VALUES, **own}


ROWS = [
    row("methods", "plain"),
    row("methods", "lirf"),
    row("ratio", "ratio-1"),
    row("ratio", "ratio-3"),
]


def make(folder: Path, rows: list[dict[str, Any]] | None) -> dict[str, Out]:
    YAML().dump(PLAN, folder / "plan.yaml")
    if rows is not None:
        (folder / "runs.tsv").write_text(comparison.write(rows))
    names = {"table": "table.md", "picture": "t.png", "ablations": "a.md", "curves": "curves"}
    out = {key: Out(folder / f".{name}.partial") for key, name in names.items()}
    compare(PARAMS, folder / "plan.yaml", folder / "runs.tsv", **out)
    return out


def test_tables_and_pictures(tmp_path: Path):
    out = make(tmp_path, ROWS)
    assert "| LIRF | 0.010 |" in out["table"].read_text()
    assert "met: 0.01" in out["table"].read_text()
    assert "(curves/ratio.png)" in out["ablations"].read_text()  # where it will be
    assert [path.name for path in out["curves"].iterdir()] == ["ratio.png"]
    assert out["picture"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, r"runs\.tsv: missing; `python -m pipeline\.comparison` makes it"),
        ([row("other", "x")], r"runs\.tsv: no row of .*plan\.yaml"),
        ([*ROWS[:2], row("ratio", "ratio-1", n_fake=9)], r"ratio-1/0: n_fake is 9, but 1000"),
    ],
)
def test_what_cannot_be_shown_is_named(tmp_path: Path, rows: Any, message: str):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, rows)
