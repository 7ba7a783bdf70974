"""params.yaml: every mistake ends in one line that names the key, the value and the remedy."""

import os
import re
from pathlib import Path

import mistakes
import pytest

from lirf import params


def test_scientific_notation_is_a_number(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(mistakes.SHIPPED.read_text().replace("weight_decay: 0.0", "weight_decay: 1e-4"))
    assert params.load(path).train.weight_decay == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  ema_decay: 0.995",
            "  ema_decy: 0.995",
            "train.ema_decy: unknown key; did you mean `ema_decay`? (valid: ",
        ),
        ("device: auto", "devise: auto", "devise: unknown key; did you mean `device`?"),
        ("  ema_decay: 0.995", "  # ema_decay: 0.995", "train.ema_decay is missing; add it"),
    ],
)
def test_unknown_and_missing_keys(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &a [*a]\n", "params.yaml: "),
        ("a: " + "[" * 500, "not valid YAML"),
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
    document = params.read(mistakes.SHIPPED)
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
