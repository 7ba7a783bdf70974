"""How long stages take: guessed from timed steps, mended by what is measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from lirf import params
from stages.telling import pace
from stages.telling.pace import Costs, Pace

ROOT = Path(__file__).parents[3]
PARAMS = params.load(ROOT / "params.yaml")
COSTS = Costs(
    start=3.0, fit=0.03, view=1e-3, encode=1e-3, decode=1e-3, see=1e-4, step=0.02, call=1e-4
)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pace:
    monkeypatch.chdir(tmp_path)
    made = Pace("of some numbers", COSTS, train=100, heldout=50)
    pace.write(made)
    return made


def test_a_training_takes_its_steps_and_every_stage_its_start(known: Pace):
    seconds = known.seconds(PARAMS, ["train@r01", "train@baseline", "merge@r01", "unpack@faces"])
    assert seconds == {
        "train@r01": pytest.approx(3 + 1200 * 0.02),
        "train@baseline": pytest.approx(3 + 4800 * 0.02),
        "merge@r01": 3.0,
        "unpack@faces": 3.0,
    }


def test_what_is_read_is_what_was_written(known: Pace):
    assert pace.read() == known


def test_a_stage_that_took_twice_as_long_says_so_of_its_kind(known: Pace):
    pace.learn("train@r01", 2 * (3 + 1200 * 0.02), PARAMS)
    found = pace.read()
    assert found is not None
    assert found.seconds(PARAMS, ["train@r02", "sample@r01"]) == {
        "train@r02": pytest.approx(2 * (3 + 600 * 0.02)),
        "sample@r01": pytest.approx(known.seconds(PARAMS, ["sample@r01"])["sample@r01"]),
    }


def test_where_nothing_is_known_nothing_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    pace.learn("train@r01", 10.0, PARAMS)
    assert pace.read() is None
    assert not pace.FILE.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"costs": {"start": 1}}', "null"])
def test_a_file_that_cannot_be_read_says_nothing(known: Pace, text: str):
    pace.FILE.write_text(text)
    assert pace.read() is None


def test_the_key_is_of_what_decides_the_speed_of_a_step():
    key = pace.key(PARAMS, 100, 50)
    other = PARAMS.model_copy(update={"page": PARAMS.page.model_copy(update={"margin": 0.5})})
    assert pace.key(other, 100, 50) == key
    wider = PARAMS.train.model_copy(update={"batch": 7})
    assert pace.key(PARAMS.model_copy(update={"train": wider}), 100, 50) != key
    assert pace.key(PARAMS, 101, 50) != key


def test_views_are_made_before_they_are_encoded(known: Pace):
    views = PARAMS.encode.augmentation.views
    assert known.seconds(PARAMS, ["encode"])["encode"] == pytest.approx(
        3 + (100 + 50) * 1e-3 + 100 * views * 2e-3
    )


def test_more_images_take_longer(known: Pace):
    more = replace(known, train=200)
    for stage in ("encode", "sample@r01", "evaluate@final"):
        assert more.seconds(PARAMS, [stage])[stage] > known.seconds(PARAMS, [stage])[stage]
