"""The sections `autoencoder` and `encode`: their mistakes."""

from pathlib import Path

import mistakes
import pytest

from lirf import params


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  - 32\n  - 32\n",
            "    []\n",
            "autoencoder.widths = []: Tuple should have at least 1 item",
        ),
        ("enlarge: 1", "enlarge: 3", "autoencoder.enlarge = 3: should be 1, 2 or 4"),
        (
            "finetune: none",
            "finetune: all",
            "autoencoder.finetune = all: there is nothing to begin with; name an autoencoder in",
        ),
        ("margin: 0.5", "margin: 1.0", "autoencoder.align.margin = 1.0: should be less than 1"),
        ("views: 20", "views: -1", "encode.augmentation.views = -1: should be greater"),
        ("rotation: 10", "rotation: 200", "encode.augmentation.rotation = 200: should be less"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)


def test_what_is_asked_for_must_be_possible():
    whole = params.load(mistakes.SHIPPED).autoencoder.model_dump()
    whole |= {"pretrained": "others", "finetune": "decoder"}
    assert params.validate(params.Autoencoder, whole, "spaces.a").trains
    with pytest.raises(ValueError, match=r"^a: autoencoder.alignment = manifold: a decoder does"):
        params.validate(params.Autoencoder, {**whole, "alignment": "manifold"}, "a")
    with pytest.raises(ValueError, match=r"^a: autoencoder.perceptual = lpips: needs its weights"):
        params.validate(
            params.Autoencoder, {**whole, "feature_weight": 1.0, "perceptual": "lpips"}, "a"
        )
    taken = params.validate(params.Autoencoder, {**whole, "finetune": "none"}, "a")
    assert not taken.trains
