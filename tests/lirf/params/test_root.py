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
        (
            "r02: {role: loop, after: r01",
            "r02: {role: loop, after: r00",
            "models.r02.after = r00: must be",
        ),
        (
            "  samples: ",
            "  samples: 5 # ",
            "evaluate.samples = 5: must exceed evaluate.neighbours = 5",
        ),
        (
            "  final: ",
            "  # final: ",
            "models.final is missing; add `final: {role: loop, after: r03, steps: N, cooldown: 0}`",
        ),
        (
            "  r02: {role: loop, after: r01, steps",
            "  # {",
            "models.r02 is missing; add `r02",
        ),
        ("loop, after: r03", "loop, after: r02", "models.final.after = r02: must be r03"),
        (
            "  final: {",
            "  spare: {role: loop, after: r03, steps: 1, cooldown: 0}\n  final: {",
            "models.spare: of spare and final, which are no rounds, only one can be the loop's",
        ),
        ("r02: {role: loop", "r02: {role: baseline", "models.r02.role = baseline: must be loop"),
        ("r02: {role: loop", "r02: {role: rival", "models.r02.role = 'rival': should be 'loop' or"),
        (
            "baseline\n    after: r00",
            "baseline\n    after: r01",
            "models.baseline.after = r01: must be",
        ),
        ("steps: 4800", "steps: 94800", "models.baseline.steps = 94800: must equal the loop's own"),
        (
            "2400, cooldown: 1200",
            "2400, cooldown: 1200, same_steps_as: loop",
            "models.final.same_steps_as: is of baselines alone",
        ),
        (
            "4800\n    cooldown: 1200",
            "4800\n    cooldown: 100",
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


def changed(tmp_path: Path, *pairs: tuple[str, str]) -> params.Params:
    text = mistakes.SHIPPED.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text)
    return params.load(tmp_path / "params.yaml")


def test_roles_and_not_names_say_which_model_is_which(tmp_path: Path):
    renamed = changed(tmp_path, ("  final: {", "  last: {"), ("  baseline: #", "  plain: #"))
    assert renamed.loop == ("r01", "r02", "r03", "last")
    assert renamed.final == "last"
    assert renamed.baselines == ("plain",)


def test_a_baseline_that_claims_nothing_is_free_and_several_are_allowed(tmp_path: Path):
    free = "  short: {role: baseline, after: r00, steps: 7, cooldown: 0}\n\npublish:"
    assert changed(tmp_path, ("\npublish:", free)).baselines == ("baseline", "short")


def test_there_may_be_no_baseline(tmp_path: Path):
    text = mistakes.SHIPPED.read_text()
    start, end = text.index("  baseline: #"), text.index("\npublish:")
    assert changed(tmp_path, (text[start:end], "")).baselines == ()
