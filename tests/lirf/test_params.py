"""params.yaml: every mistake ends in one line that names the key, the value and the remedy."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from lirf import params

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def broken(tmp_path: Path, old: str, new: str) -> str:
    """Return the error for the shipped file with `old` replaced by `new`."""
    text = SHIPPED.read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"params\.yaml") as caught:
        params.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_shipped_file_is_valid_and_frozen():
    shipped = params.load(SHIPPED)
    assert len(shipped.rounds) >= 3
    assert shipped.rounds["r01"].lambda_ == 0.6
    assert shipped.models["final"].cooldown == shipped.models["baseline"].cooldown == 1200
    assert shipped.models["r01"].cooldown == 0
    with pytest.raises(ValidationError, match="frozen"):
        shipped.train.batch = 3


def test_scientific_notation_is_a_number(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text().replace("weight_decay: 0.0", "weight_decay: 1e-4"))
    assert params.load(path).train.weight_decay == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  jitter: 0.25", "  jiter: 0.25", "spiral.jiter: unknown key; did you mean `jitter`?"),
        (
            "  ema_decay: 0.995",
            "  ema_decy: 0.995",
            "train.ema_decy: unknown key; did you mean `ema_decay`? (valid: ",
        ),
        ("device: auto", "devise: auto", "devise: unknown key; did you mean `device`?"),
        (
            "{after: r00, lambda: 0.6}",
            "{after: r00, lamda: 0.5}",
            "rounds.r01.lamda: unknown key; did you mean `lambda`?",
        ),
        (
            "kind: transformer, patch:",
            "kind: transformer, pach:",
            "initialize.network.pach: unknown key; did you mean `patch`?",
        ),
        ("  ema_decay: 0.995", "  # ema_decay: 0.995", "train.ema_decay is missing; add it"),
        ("kind: transformer", "kind: former", "initialize.network.kind = 'former': must be"),
    ],
)
def test_unknown_and_missing_keys(tmp_path: Path, old: str, new: str, message: str):
    assert broken(tmp_path, old, new).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  processes: 1",
            "  processes: 3",
            "train.processes = 3: must divide train.batch = 64",
        ),
        ("  processes: 1", "  processes: 0", "train.processes = 0: should be greater than"),
        (
            "  compile: false # by",
            "  compile: 0 # by",
            "train.compile = 0: should be a valid boolean",
        ),
        ("  resolution: 8", "  resolution: 4", "prepare.resolution = 4: should be greater than"),
        ("  resolution: 8", "  resolution: '8'", "prepare.resolution = '8': should be a valid int"),
        ("colour: grey", "colour: gray", "prepare.colour = 'gray': should be 'grey' or 'rgb'"),
        ("flip: false", "flip: 0", "prepare.flip = 0: should be a valid boolean"),
        (
            "r00, lambda: 0.6}",
            "r00, lambda: 1.8}",
            "rounds.r01.lambda = 1.8: should be less than or equal to 1",
        ),
        ("betas: [0.9, 0.999]", "betas: [0.9]", "train.betas"),
        ("betas: [0.9, 0.999]", "betas: [0.9, 1.0]", "train.betas.1 = 1.0: should be less than 1"),
        ("  tau: 0.1", "  tau: .nan", "admit.tau = nan: should be"),
        ("checkpoint_every: 500", "checkpoint_every: -500", "train.checkpoint_every = -"),
        ("augment_share: 0.5", "augment_share: 1.2", "train.augment_share = 1.2: should be less"),
        ("jitter: 0.0", "jitter: -0.1", "train.jitter = -0.1: should be greater"),
        ("real_share: 0.2", "real_share: 2.0", "train.real_share = 2.0: should be less"),
        ("start: warm", "start: cold", "train.start = 'cold': should be 'warm' or 'fresh'"),
        ("views: 20", "views: -1", "encode.augmentation.views = -1: should be greater"),
        ("rotation: 10", "rotation: 200", "encode.augmentation.rotation = 200: should be less"),
        ("generator: network", "generator: gan", "evaluate.generator = 'gan': should be 'network'"),
        ("mixup_neighbours: 3", "mixup_neighbours: 0", "evaluate.mixup_neighbours = 0: should be"),
        ("rule: never", "rule: often", "train.stop_on.rule = 'often': should be 'never' or"),
        ("name: null", "name: my model", "publish.name = 'my model': should match pattern"),
        ("licence: unknown", "licence: MIT", "publish.licence = 'MIT': should match pattern"),
        ("threshold: 0.05", "threshold: 1.0", "train.stop_on.threshold = 1.0: should be less than"),
    ],
)
def test_wrong_types_and_ranges_name_key_value_and_range(
    tmp_path: Path, old: str, new: str, message: str
):
    assert broken(tmp_path, old, new).startswith(message)


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
        ("2400, cooldown: 1200", "2400, cooldown: -1", "models.final.cooldown = -1: should be"),
        (
            "  cooldown: 1500",
            "  cooldown: 1501",
            "spiral.cooldown = 1501: must not exceed 1500, what spiral.steps leave for the last",
        ),
        (
            "  steps: 6000",
            "  steps: 1 #",
            "spiral.steps = 1: must be at least 2, one for each model of spiral.loop",
        ),
    ],
)
def test_rounds_are_a_chain_and_the_comparison_is_fair(
    tmp_path: Path, old: str, new: str, message: str
):
    assert broken(tmp_path, old, new).startswith(message)


def test_augmented_images_are_drawn_only_where_there_are_some(tmp_path: Path):
    assert broken(tmp_path, "views: 20", "views: 0") == (
        "train.augment_share = 0.5: there are no augmented images; set encode.augmentation.views"
        " to 1 or more, or the share to 0"
    )
    neither = SHIPPED.read_text().replace("augment_share: 0.5", "augment_share: 0.0")
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
    text = SHIPPED.read_text()
    start, end = text.index("rounds:"), text.index("models:")
    assert message in broken(tmp_path, text[start:end], f"rounds: {rounds}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("device: [", "not valid YAML at line 1"),
        ("- a\n", "must be a mapping of sections, is list"),
        ("", "must be a mapping of sections, is NoneType"),
        ("a: 1\na: 2\n", "not valid YAML at line 2"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, content: str, message: str):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"params\.yaml") as caught:
        params.load(path)
    assert message in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file; run from the project's folder"):
        params.load(tmp_path / "params.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "more than 20000 values, with aliases written out"),
        ("a: &a [*a]\n", "more than 20000 values, with aliases written out"),
        ("a: " + "[" * 50_000, "brackets more than 100 deep"),
        ("a: " + "{b: " * 20_000, "brackets more than 100 deep"),
        ("a:\n" + "\n".join(" " * n + "- " for n in range(600)), "not valid YAML"),
        ("a: " + "x" * 300_000, "300003 bytes, at most 100000"),
        ("a: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        ("a: 2001-02-31 00:00:00\n", "not valid YAML"),
        ("a: \x1b[2J\n", "not valid YAML"),
        ("? [x]\n: y\n", "params.yaml: "),
    ],
)
def test_yaml_that_nobody_writes_is_refused_on_one_line(tmp_path: Path, content: str, message: str):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        params.load(path)
    assert str(error.value).isprintable()


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "params.yaml")
    with pytest.raises(ValueError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_an_absurd_value_is_shortened(tmp_path: Path):
    document = params.read(Path(__file__).parents[2] / "params.yaml")
    document["prepare"]["resolution"] = "\x1b[2J\n" + "x" * 10_000
    with pytest.raises(ValueError, match=r"prepare\.resolution = ") as error:
        params.validate(params.Params, document, "params.yaml")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_an_unknown_key_within_a_list_names_its_nearest():
    class Item(params.Section):
        metric: str

    class Many(params.Section):
        items: list[Item]

    with pytest.raises(
        ValueError, match=r"x: items\.0\.metrics: unknown key; did you mean `metric`"
    ):
        params.validate(Many, {"items": [{"metric": "a", "metrics": "b"}]}, "x")
