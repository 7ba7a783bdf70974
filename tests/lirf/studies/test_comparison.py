"""The comparison: a table that survives the disk, means, the oracle's choice, verdicts."""

import copy
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf import params
from lirf.report import tables
from lirf.studies import comparison, plan

PLAN = params.validate(
    plan.Plan,
    {
        "seed_keys": ["sample.seed"],
        "headline": "methods",
        "reference": "plain",
        "judged": "lirf",
        "datasets": {"digits": {}, "faces": {}},
        "studies": {
            "methods": {
                "title": "Methods",
                "datasets": ["digits", "faces"],
                "seeds": [0, 1],
                "rows": {
                    "plain": {"label": "plain flow", "target": "baseline"},
                    "steps": {
                        "label": "{} steps",
                        "target": "baseline",
                        "oracle_of": "plain",
                        "grid": {"loop.steps": [40, 80]},
                    },
                    "lirf": {"label": "LIRF"},
                },
            },
            "lambda": {
                "title": "Lambda",
                "datasets": ["digits"],
                "seeds": [0],
                "rows": {"fixed": {"label": "{}", "grid": {"loop.lambda": [0.2, 0.8]}}},
            },
        },
        "targets": [
            {"metric": "memorised", "at_most": 0.05},
            {"metric": "recall", "against": "plain", "at_least": 2, "datasets": ["digits"]},
            {"metric": "density", "distance_from": 1, "against": "plain", "at_most": 1},
            {"metric": "coverage", "against": "oracle", "at_least": 1},
            {"metric": "memorised", "heldout": "difference", "at_most": 0.02},
            {"metric": "sharpness", "heldout": "ratio", "at_least": 0.85, "at_most": 1.15},
        ],
    },
    "plan",
)
MEASURED: dict[str, Any] = {
    "memorised": 0.5, "precision": 0.9, "recall": 0.1, "density": 1.5, "coverage": 0.5,
    "frechet": 2.0, "frechet_reason": None, "vendi": 12.0, "bank_rows": 100, "admitted": None,
    "train_steps": 100, "seconds": 3.5, "ran": "1 of 7", "memorised_heldout": 0.0,
    "sharpness": 8.0, "sharpness_heldout": 10.0,
}  # fmt: skip
PROTOCOL: dict[str, Any] = {
    "n_fake": 1000, "n_train": 100, "n_reference": 1697, "reference": "heldout", "flip": False,
    "features": "pixels", "feature_hash": None, "neighbours": 5, "resolution": 8,
    "resize": "lanczos", "generator": "network", "mixup_neighbours": None,
    "solver": "heun", "solver_steps": 20, "atol": None, "rtol": None,
    "evaluate_seed": 1, "autoencoder": "ab" * 32, "images": "embedded", "threads": 1,
    "instructions": "AVX2", "device": "cpu", "params": "12" * 8, "code": "0123456789e12345",
}  # fmt: skip


def row(method: str, seed: int, dataset: str = "digits", study: str = "methods", **own: Any):
    target = "final" if method == "lirf" or study != "methods" else "baseline"
    place = {"study": study, "dataset": dataset, "method": method, "seed": seed, "target": target}
    return {**place, **MEASURED, **PROTOCOL, **own}


def rows() -> list[dict[str, Any]]:
    """Plain copies; 40 steps is best for seed 0 and 80 for seed 1; LIRF copies nothing."""
    found = []
    for seed in (0, 1):
        found += [
            row("plain", seed, memorised=0.4 + 0.2 * seed, train_steps=160),
            row("steps-40", seed, memorised=0.1, coverage=0.55 - 0.1 * seed, train_steps=40),
            row("steps-80", seed, memorised=0.2, coverage=0.52, train_steps=80),
            row("lirf", seed, memorised=0.01, recall=0.3, density=0.8, coverage=0.6, admitted=0.5),
        ]
    return [*found, row("fixed-0.2", 0, study="lambda"), row("fixed-0.8", 0, study="lambda")]


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["1_000", "1e5", "0x10", "true", "nan", "inf", '"', "a\tb", "a\nb", "Ü ", "-"]),
)
names = st.text("abcxyz", min_size=1, max_size=3)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "study": names,
                "dataset": names,
                "method": names,
                "target": names,
                "seed": st.integers(0, 3),
            },
            optional={"memorised": cells, "other": cells, "code": cells},
        ),
        unique_by=lambda r: tuple(r[key] for key in plan.PLACE),
    ),
    st.randoms(),
)
def test_the_table_keeps_every_value_and_its_kind(written: list[dict[str, Any]], random: Any):
    text = comparison.write(written)
    found = tables.parse(text)
    expected = sorted(written, key=lambda r: [r[key] for key in plan.PLACE])
    assert [[repr(f.get(key)) for key in f] for f in found] == [
        [repr(one.get(key)) for key in f] for one, f in zip(expected, found, strict=True)
    ]
    shuffled = copy.copy(written)
    random.shuffle(shuffled)
    assert comparison.write(shuffled) == text == comparison.write(found)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("\tdigits", "", "line 2 has "),
        ("study\t", "stud\t", "line 1 lacks one of study, "),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, before: str, after: str, message: str):
    path = tmp_path / "runs.tsv"
    path.write_text(comparison.write(rows()).replace(before, after, 1))
    with pytest.raises(ValueError, match=rf"runs\.tsv: {message}.*; `git checkout .*runs\.tsv`"):
        comparison.read(path)


def test_the_recorded_table_is_read_and_written_to_the_byte():
    path = Path(__file__).parents[3] / "data" / "studies" / "comparison" / "runs.tsv"
    if path.exists():  # tests need no data, but for what git has of it
        assert comparison.write(comparison.read(path)) == path.read_text()


def summaries(own: list[dict[str, Any]]) -> comparison.Summaries:
    return comparison.summarise(PLAN, own)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5))
def test_a_summary_is_mean_and_deviation_over_seeds(values: list[float]):
    own = [row("lirf", i, memorised=v) for i, v in enumerate(values)]
    found = summaries(own)["methods", "digits"]["lirf"]
    assert re.findall(r"\d", found.seeds) == [str(i) for i in range(len(values))]
    assert found.mean("memorised") == pytest.approx(sum(values) / len(values))
    deviation = statistics.stdev(values) if len(values) > 1 else 0
    assert found.deviation("memorised") == pytest.approx(deviation)


def test_a_number_that_a_seed_lacks_is_no_mean_of_the_others():
    own = [row("lirf", 0), row("lirf", 1, frechet=None)]
    (found,) = summaries(own)["methods", "digits"].values()
    assert math.isnan(found.mean("frechet"))
    assert found.mean("memorised") == 0.5


def test_the_oracle_takes_every_seeds_best_length():
    found = summaries(rows())["methods", "digits"][plan.ORACLE].rows
    assert [(r["seed"], r["train_steps"], r["memorised"]) for r in found] == [
        (0, 40, 0.1),
        (1, 80, 0.2),
    ]


def test_the_oracle_does_not_choose_before_all_lengths_are_there():
    some = [r for r in rows() if (r["method"], r["seed"]) != ("steps-80", 1)]
    assert [r["seed"] for r in summaries(some)["methods", "digits"][plan.ORACLE].rows] == [0]
    none = [r for r in rows() if r["method"] != "steps-80"]
    assert plan.ORACLE not in summaries(none)["methods", "digits"]


def test_rows_of_no_plan_are_not_shown():
    extra = [row("gone", 0), row("plain", 0, study="gone")]
    assert summaries([*rows(), *extra]) == summaries(rows())


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_a_ratio_times_its_reference_is_the_value(value: float, reference: float):
    assert plan.ratio(value, reference) * reference == pytest.approx(value)


def test_a_ratio_to_zero():
    assert plan.ratio(0, 0) == 1
    assert plan.ratio(0.1, 0) == math.inf


def test_verdicts():
    assert comparison.judge(PLAN, summaries(rows())) == {
        ("memorised ≤ 0.05", "digits"): (True, "0.01"),
        ("recall relative to plain ≥ 2", "digits"): (True, "3"),
        ("distance of density from 1 relative to plain ≤ 1", "digits"): (True, "0.4"),
        ("coverage relative to oracle ≥ 1", "digits"): (True, "1.12"),
        ("memorised less held-out ≤ 0.02", "digits"): (True, "0.01"),
        ("sharpness relative to held-out ≥ 0.85 and ≤ 1.15", "digits"): (False, "0.8"),
    }


@given(st.floats(0, 1))
def test_a_target_is_met_up_to_its_bound(coverage: float):
    own = [r | {"coverage": coverage} if r["method"] == "lirf" else r for r in rows()]
    met, _ = comparison.judge(PLAN, summaries(own))["coverage relative to oracle ≥ 1", "digits"]
    assert met == (coverage / statistics.fmean([0.55, 0.52]) >= 1)


def test_the_headline_shows_plain_first_and_its_lengths_only_through_the_oracle():
    text = comparison.headline(PLAN, summaries(rows()))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    firsts = [line.split("|")[1].strip() for line in lines]
    assert firsts[:2] == ["", "---"]
    assert [first.split(",")[0] for first in firsts[2:5]] == ["plain flow", "plain flow", "LIRF"]
    assert "0.500 ± 0.141" in lines[2]
    assert "met: 0.01" in text
    assert "Code: baseline: 0123456789e12345; final: 0123456789e12345." in text
    assert "faces" not in text  # it has no rows


def test_the_machine_stands_below_the_table():
    own = rows()
    assert "Threads: 1. Instructions: AVX2." in comparison.headline(PLAN, summaries(own))
    del own[0]["instructions"]  # as in tables that are older than the column
    own[1]["instructions"] = "AVX512"
    text = comparison.headline(PLAN, summaries(own))
    assert "Threads: 1. Instructions: AVX2, AVX512, not recorded." in text


def test_a_row_with_fewer_seeds_says_so():
    own = [r for r in rows() if r["method"] != "lirf" or r["seed"] == 1]
    text = comparison.headline(PLAN, summaries(own))
    assert "| LIRF (seed 1) |" in text
    assert "over seeds 0, 1." in text


def test_ablations_open_with_the_reference():
    text = comparison.ablations(PLAN, summaries(rows()), "curves")
    assert "![Lambda](curves/lambda.png)" in text
    firsts = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert firsts == ["", "---", "plain flow", "0.2 (seed 0)", "0.8 (seed 0)"]
    assert "Methods" not in text


@pytest.mark.parametrize("key", [*comparison.PROTOCOL, *comparison.SOLVER])
def test_rows_of_different_protocols_are_refused(key: str):
    comparison.require_one_protocol(summaries(rows()), "runs.tsv")
    other = [*rows(), row("lirf", 2, **{key: "else"})]
    with pytest.raises(ValueError, match=rf"^runs\.tsv: methods/digits/lirf/2: {key} is else"):
        comparison.require_one_protocol(summaries(other), "runs.tsv")


def test_samples_without_a_network_have_no_solver():
    own = {"generator": "memory", "solver": None, "solver_steps": None, "train_steps": None}
    # It sorts before the others: the line below the table must not be of it.
    found = [r | own if r["method"] == "lirf" else r for r in rows()]
    found.sort(key=lambda r: r["method"])
    comparison.require_one_protocol(summaries(found), "runs.tsv")
    text = comparison.headline(PLAN, summaries(found))
    assert "heun, 20 steps" in text
    (line,) = re.findall(r"^\| LIRF \|.*$", text.partition("Mean")[0], re.MULTILINE)
    assert line.endswith("| – |")  # it took no steps


def test_an_ablation_may_change_the_autoencoder_and_says_so():
    own = [r | {"autoencoder": "cd" * 32} if r["method"] == "fixed-0.2" else r for r in rows()]
    comparison.require_one_protocol(summaries(own), "runs.tsv")
    assert "; 2 autoencoders." in comparison.ablations(PLAN, summaries(own), "curves")
