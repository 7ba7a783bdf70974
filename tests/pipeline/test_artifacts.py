"""What is shown of a round, from the files that its stages wrote."""

import base64
import json
from pathlib import Path

from pipeline import artifacts
from pipeline.graph import Stage


def make(name: str, metrics: tuple[str, ...] = (), plots: tuple[str, ...] = ()) -> Stage:
    return Stage(
        name,
        frozenset(),
        "gpu",
        name.rsplit("@", maxsplit=1)[-1],
        {"baseline": "baseline", "r01": "loop", "final": "loop"}.get(name.partition("@")[2], ""),
        (),
        (),
        (),
        metrics,
        metrics,
        plots,
    )


def test_figures_are_the_metrics_and_the_end_of_each_curve(tmp_path: Path):
    (tmp_path / "m.json").write_text(json.dumps({"admitted": 3, "refused": {"novelty": 1 / 3}}))
    (tmp_path / "loss.tsv").write_text("step\tloss\n1\t2.5\n2\t0.5\n")
    stage = make("admit@r01", metrics=("m.json",), plots=("loss.tsv", "grid.png"))
    assert [(row["figure"], row["value"]) for row in artifacts.figures(stage, tmp_path)] == [
        ("admitted", 3),
        ("refused.novelty", 0.333333),
        ("loss, last: step", "2"),
        ("loss, last: loss", "0.5"),
    ]


def test_the_comparison_has_what_differs_and_the_baseline_last(tmp_path: Path):
    for model, value in {"baseline": 2, "r01": 1, "final": 3}.items():
        (tmp_path / f"{model}.json").write_text(
            json.dumps({"recall": value, "seed": 1, "reason": None})
        )
    (tmp_path / "ae.json").write_text(json.dumps({"psnr": 9}))
    stages = [
        make(f"evaluate@{model}", (f"{model}.json",)) for model in ("baseline", "r01", "final")
    ]
    table = artifacts.comparison([*stages, make("autoencoder", ("ae.json",))], tmp_path)
    assert table == [{"figure": "recall", "r01": 1, "final": 3, "baseline": 2}]
    assert list(table[0]) == ["figure", "r01", "final", "baseline"]
    assert artifacts.comparison([make("autoencoder", ("ae.json",))], tmp_path) == []


def test_a_picture_needs_nothing_but_itself(tmp_path: Path):
    path = tmp_path / "grid.png"
    path.write_bytes(b"\x89PNG")
    page = artifacts.picture(path)
    data = page.split("base64,")[1].rstrip(")")
    assert base64.b64decode(data) == b"\x89PNG"
    assert "missing" in artifacts.picture(tmp_path / "none.png")


def test_a_picture_that_is_too_large_is_named_instead(tmp_path: Path):
    path = tmp_path / "grid.png"
    path.write_bytes(bytes(artifacts.LARGEST + 1))
    assert "too large" in artifacts.picture(path)


def test_keys_are_what_prefect_takes():
    assert artifacts.key("progress", "train@r01") == "progress-train-r01"
