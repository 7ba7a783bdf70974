"""A bank keeps its parts, refuses what is not of its space, and names what is not finite."""

import json
from pathlib import Path

import numpy as np
import pytest
from written import SPACE, edit_json, files, latents, rows, write_bank

from lirf.store import banks, parts
from lirf.store.files import write_json
from lirf.store.space import Space


def test_an_image_and_its_twin_are_a_group_and_every_refined_row_is_its_own():
    sources = ["b.png", "b.png", "a.png", None, None]
    rows = banks.bank_rows({"id": ["1", "1-flip", "2", "r01-1", "r01-2"], "source": sources})
    numbers = banks.Register(rows, SPACE).groups
    assert numbers[0] == numbers[1]
    assert len(set(numbers.tolist())) == 4


def test_the_same_content_has_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        banks.write(tmp_path / name, "r00", latents(150), rows(150), SPACE)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_bank_keeps_its_earlier_parts_byte_for_byte(tmp_path: Path):
    first, second = latents(5, 1), latents(7, 2)
    banks.write(tmp_path / "b0", "r00", first, rows(5), SPACE)
    banks.write(tmp_path / "b1", "r01", second, rows(7, "r01"), SPACE, tmp_path / "b0")
    bank = banks.read(tmp_path / "b1")
    np.testing.assert_array_equal(bank.latents, np.concatenate([first, second]))
    assert (
        bank.rows["id"].to_pylist() == rows(5)["id"].to_pylist() + rows(7, "r01")["id"].to_pylist()
    )
    assert bank.space == SPACE
    assert files(tmp_path / "b0" / "r00") == files(tmp_path / "b1" / "r00")


def test_a_round_that_admits_nothing_is_an_empty_part(tmp_path: Path):
    banks.write(tmp_path / "b0", "r00", latents(5), rows(5), SPACE)
    banks.write(tmp_path / "b1", "r01", latents(0), rows(0, "r01"), SPACE, tmp_path / "b0")
    assert len(banks.read(tmp_path / "b1").latents) == 5


@pytest.mark.parametrize(
    "other",
    [
        Space("beef", SPACE.shape, SPACE.mean, SPACE.std),
        Space(SPACE.autoencoder, SPACE.shape, SPACE.mean, (2.0, 0.5)),
    ],
)
def test_latents_of_another_space_are_refused(tmp_path: Path, other: Space):
    banks.write(tmp_path / "b0", "r00", latents(5), rows(5), SPACE)
    with pytest.raises(ValueError, match=r"b0.r00: latents of another space: (auto|std)"):
        banks.write(tmp_path / "b1", "r01", latents(2), rows(2), other, tmp_path / "b0")
    foreign = tmp_path / "b2"
    banks.write(foreign, "r01", latents(2), rows(2, "r01"), SPACE, tmp_path / "b0")
    manifest = json.loads((foreign / "r01" / parts.MANIFEST).read_text())
    manifest["attributes"]["space"] = other.to_json()
    write_json(foreign / "r01" / parts.MANIFEST, manifest)
    with pytest.raises(ValueError, match=r"b2.r01: latents of another space"):
        banks.read(foreign)


def test_latents_that_are_not_finite_are_refused(tmp_path: Path):
    bad = latents(4)
    bad[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="the latent of r00-00002 is not finite"):
        banks.write(tmp_path / "b0", "r00", bad, rows(4), SPACE)
    assert not (tmp_path / "b0").exists()


@pytest.mark.parametrize("parts", [["../b1"], ["/etc"], [], ["r00", "r00"], [3], "r00", None])
def test_names_of_parts_are_no_paths(tmp_path: Path, parts: object):
    bank = write_bank(tmp_path)
    edit_json(bank / banks.INDEX, "parts", value=parts)
    for use in (
        lambda: banks.read(bank),
        lambda: banks.write(tmp_path / "next", "r01", latents(2), rows(2, "r01"), SPACE, bank),
    ):
        with pytest.raises(ValueError, match=r"bank\.json: damaged \(no names of parts\)"):
            use()


@pytest.mark.parametrize(
    "space", [None, {}, {**SPACE.to_json(), "shape": [2, 3]}, {**SPACE.to_json(), "std": [1, 0]}]
)
def test_a_space_that_is_none_is_refused(tmp_path: Path, space: object):
    manifest = write_bank(tmp_path) / "r00" / parts.MANIFEST
    edit_json(manifest, "attributes", "space", value=space)
    with pytest.raises(ValueError, match=r"part\.json: damaged \(not a latent space"):
        banks.read(tmp_path / "bank")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latents_of_any_kind_are_finite_or_named(tmp_path: Path, bad: float):
    z = latents(4)
    z[2, 1, 0, 0] = bad
    with pytest.raises(ValueError, match="part: the latent of r01-00002 is not finite"):
        banks.write_latents(tmp_path / "part", z, rows(4, "r01"), SPACE)
    assert not (tmp_path / "part").exists()
