"""What tests of published models share."""

import shutil
from pathlib import Path

import published
import pytest


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.write(trained, tmp_path_factory.mktemp("published") / "model")


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))
