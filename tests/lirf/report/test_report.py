"""The report: a table that says what the results say, and a line that says how."""

import pytest

from lirf.report import report

RESULT = {
    "memorised": 0.25, "precision": 0.9, "recall": 0.125, "density": 1.5, "coverage": 0.5,
    "frechet": 2.0, "vendi": 12.345, "bank_rows": 100,
}  # fmt: skip
BASELINE = {"round": "baseline", **RESULT, "memorised": 0.75}
LOOP = [{"round": name, **RESULT, "bank_rows": 100 * i} for i, name in enumerate(["r01", "r02"])]
PROTOCOL = {
    "n_fake": 1000, "n_reference": 1697, "n_train": 100, "reference": "heldout", "flip": False,
    "features": "pixels", "feature_hash": None, "resolution": 8, "resize": "lanczos",
    "neighbours": 5, "solver": "heun", "solver_steps": 20, "seed": 1, "autoencoder": "ab" * 32,
    "generator": "network", "mixup_neighbours": None,
}  # fmt: skip


def test_table_writes_every_column_of_every_row():
    text = report.table([BASELINE, {**RESULT, "round": "final", "frechet": None}], "How.")
    head, rule, *rows, blank, protocol = text.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, rule, *rows)]
    assert [len(row) for row in cells] == [9] * 4
    assert cells[0][1] == "memorised ↓"
    assert cells[0][4] == "density → 1"
    assert cells[2] == [
        "baseline", "0.750", "0.900", "0.125", "1.500", "0.500", "2.000", "12.35", "100"
    ]  # fmt: skip
    assert cells[3][0] == "final"
    assert cells[3][6] == "–"
    assert (blank, protocol) == ("", "How.")


def test_protocol_is_one_line_with_all_of_it():
    line = report.protocol_line(PROTOCOL)
    assert "\n" not in line
    for part in ("1000 samples", "seed 1", "heun", "20 steps", "1697 held-out", "100 training",
                 "pixels at 8 px", "lanczos", "K = 5", "abababababab"):  # fmt: skip
        assert part in line
    assert "as in training" not in line


def test_protocol_names_what_is_unusual():
    unusual = {**PROTOCOL, "reference": "train", "flip": True, "features": "latents",
               "feature_hash": "cd" * 32, "solver": "dopri5", "solver_steps": None}  # fmt: skip
    line = report.protocol_line(unusual)
    for part in ("**training** images", "(as in training)", "latents cdcdcdcdcdcd", "adaptive"):
        assert part in line


@pytest.mark.parametrize(
    ("change", "source"),
    [
        (
            {"generator": "mixup", "mixup_neighbours": 3},
            "(seed 1; mixup of real latents with their 3 nearest, no network)",
        ),
        ({"generator": "memory"}, "(seed 1; real latents drawn with replacement, no network)"),
    ],
)
def test_protocol_says_where_there_was_no_network(change, source):
    assert source in report.protocol_line({**PROTOCOL, "solver": None, **change})
