"""Objectives by their tag: what is written is what is read."""

import pytest

from lirf.objectives import build
from lirf.objectives.rectified import Rectified


@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_what_is_written_is_what_is_read(prediction):
    objective = Rectified(prediction)
    assert build.document(objective) == {"prediction": prediction}
    for tag in ({}, {"objective": "rectified"}):
        assert build.build({"step": 3, **build.document(objective), **tag}) == objective


def test_an_unknown_family_or_a_missing_value_is_refused():
    for document in ({"objective": "unknown", "prediction": "data"}, {}):
        with pytest.raises(KeyError):
            build.build(document)
