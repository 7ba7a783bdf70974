"""All of params.yaml: the rounds are a chain, and the comparison is what it claims to be."""

from pathlib import Path

import mistakes
import pytest

from lirf import params


def test_the_shipped_file_is_valid():
    shipped = params.load(mistakes.SHIPPED)
    assert len(shipped.rounds) >= 3
    assert shipped.rounds["r01"].lambda_ == 0.6
    assert shipped.models["final"].cooldown == shipped.models["baseline"].cooldown == 1200
    assert shipped.models["r01"].cooldown == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("r02: {after: r01, lambda", "r02: {after: r00, lambda", "rounds.r02.after = r00: must be"),
        ("r02: {after: r01, steps", "r02: {after: r00, steps", "models.r02.after = r00: must be"),
        (
            "  samples: ",
            "  samples: 5 # ",
            "evaluate.samples = 5: must exceed evaluate.neighbours = 5",
        ),
        (
            "  final: ",
            "  # final: ",
            "models.final is missing; add `final: {after: r03, steps: N}`",
        ),
        ("  r02: {after: r01, steps", "  # {", "models.r02 is missing; add `r02: {after: r01"),
        ("final: {after: r03", "final: {after: r02", "models.final.after = r02: must be r03"),
        ("  final: {", "  spare: {after: r03, steps: 1}\n  final: {", "models.spare: there is no"),
        ("baseline: {after: r00, steps: ", "baseline: {after: r00, steps: 9", "models.baseline.st"),
        (
            "4800, cooldown: 1200",
            "4800, cooldown: 100",
            "models.baseline.cooldown = 100: must equal that of models.final, 1200,",
        ),
        ("2400, cooldown: 1200", "2400, cooldown: 2500", "models.final.cooldown = 2500: must not"),
    ],
)
def test_rounds_are_a_chain_and_the_comparison_is_fair(
    tmp_path: Path, old: str, new: str, message: str
):
    assert mistakes.line(tmp_path, old, new).startswith(message)


def test_augmented_images_are_drawn_only_where_there_are_some(tmp_path: Path):
    assert mistakes.line(tmp_path, "views: 20", "views: 0") == (
        "train.augment_share = 0.5: there are no augmented images; set encode.augmentation.views"
        " to 1 or more, or the share to 0"
    )
    neither = mistakes.SHIPPED.read_text().replace("augment_share: 0.5", "augment_share: 0.0")
    (tmp_path / "params.yaml").write_text(neither.replace("views: 20 #", "views: 0 #"))
    assert params.load(tmp_path / "params.yaml").encode.augmentation.views == 0


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ("{}", "rounds = {}: there must be at least one; add `r01: {after: r00, lambda: 0.8}`"),
        ("0", "rounds = 0: should be a valid dictionary"),
    ],
)
def test_there_is_at_least_one_round(tmp_path: Path, rounds: str, message: str):
    text = mistakes.SHIPPED.read_text()
    start, end = text.index("rounds:"), text.index("models:")
    assert message in mistakes.line(tmp_path, text[start:end], f"rounds: {rounds}\n")
