"""Mistakes in the shipped params.yaml or a study's file, and the line that each of them ends in."""

from pathlib import Path

import pytest

from lirf import params

SHIPPED = Path(__file__).parents[1] / "params.yaml"


def line(folder: Path, old: str, new: str) -> str:
    """Return the error for the shipped file with `old` replaced by `new`, without its path."""
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"params\.yaml") as caught:
        params.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")
