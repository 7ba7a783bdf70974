"""The image sets that ship inside dependencies, so that a fresh clone has something to train on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SEED = 0
PER_CLASS = 10
TILE, FIELD = 32, 128  # px

NamedImage = tuple[str, str, np.ndarray]
"""(name without suffix, "train" or "heldout", uint8 [H, W] or [H, W, 3])."""


def digits() -> list[NamedImage]:
    """Return 1,797 handwritten digits, 8x8: ten of each class to train on, 1,697 held out.

    Source: `sklearn.datasets.load_digits`, a copy of the test set of Alpaydin and Kaynak, "Optical
    Recognition of Handwritten Digits" (UCI Machine Learning Repository, 1998); scikit-learn
    itself is BSD-3-Clause. The 17 grey levels 0..16 are spread over 0..255. Names carry the
    index in the source and the class, as in `0017-digit3`.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes seconds, only `unpack` needs it

    values_ND, classes_N = load_digits(return_X_y=True)
    levels_NHW = np.rint(values_ND * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    # RandomState, not default_rng: NumPy freezes its stream for good.
    order_N = np.random.RandomState(SEED).permutation(len(classes_N))
    train = {
        int(index)
        for class_ in range(10)
        for index in order_N[classes_N[order_N] == class_][:PER_CLASS]
    }
    return [
        (f"{index:04d}-digit{class_}", "train" if index in train else "heldout", image_HW)
        for index, (class_, image_HW) in enumerate(zip(classes_N, levels_NHW, strict=True))
    ]


def faces() -> list[NamedImage]:
    """Return 100 grey faces, 25x25, all to train on.

    Source: `skimage.data.lfw_subset`, whose first 100 of 200 arrays are faces picked at random
    from Labeled Faces in the Wild (Huang et al., http://vis-www.cs.umass.edu/lfw/) and whose
    others are background. They are press photographs of real people: check the source's terms
    before publishing what is made from them.
    """
    from skimage.data import lfw_subset  # noqa: PLC0415 - as above

    faces_NHW = lfw_subset()[:100]  # float64 in 0..1, whatever its documentation says
    levels_NHW = np.rint(faces_NHW * 255).astype(np.uint8)
    return [(f"{index:04d}", "train", image_HW) for index, image_HW in enumerate(levels_NHW)]


def tissue() -> list[NamedImage]:
    """Return colour tiles of a stained tissue slide, 32x32: 128 to train on, 128 held out.

    Source: `skimage.data.immunohistochemistry`, glands of a colon, stained brown for a protein and
    blue for nuclei, 512 px, of the Center for Microscopy and Molecular Imaging; no known copyright
    restrictions. The slide is a chessboard of fields of 128 px: tiles of one colour are to train
    on, those of the other are held out. No two tiles share a pixel. Names carry the place of the
    upper left corner, as in `y064-x480`.
    """
    from skimage.data import immunohistochemistry  # noqa: PLC0415 - as above

    slide_HWC = immunohistochemistry()
    places = itertools.product(*(range(0, size, TILE) for size in slide_HWC.shape[:2]))
    return [
        (
            f"y{y:03d}-x{x:03d}",
            "heldout" if (y // FIELD + x // FIELD) % 2 else "train",
            slide_HWC[y : y + TILE, x : x + TILE],
        )
        for y, x in places
    ]


PHOTOGRAPHS = {
    "astronaut.png": 2.0, "chelsea.png": 2.0, "coffee.png": 2.0, "rocket.jpg": 1.0,
    "hubble_deep_field.jpg": 0.5, "ihc.png": 0.5, "retina.jpg": 0.5, "camera.png": 1.0,
    "brick.png": 0.5, "grass.png": 0.5, "gravel.png": 0.5, "coins.png": 0.5, "moon.png": 0.3,
    "china.jpg": 2.0, "flower.jpg": 2.0,
}  # fmt: skip
"""Of scikit-image, and the last two of scikit-learn; how often a crop comes of each, relatively."""


def photographs() -> list[tuple[float, Image.Image]]:
    """Return pictures of many kinds, RGB, each with its weight in `PHOTOGRAPHS`.

    Sources: scikit-image's pictures are in the public domain or free of known restrictions (NASA,
    SpaceX, Brooklyn Museum and others; its documentation names each). scikit-learn's two are by
    danielbuechele and vultilion on Flickr, Creative Commons Attribution 2.0.
    """
    import skimage  # noqa: PLC0415 - as above
    import sklearn  # noqa: PLC0415

    folders = (
        Path(str(skimage.__file__)).parent / "data",
        Path(str(sklearn.__file__)).parent / "datasets" / "images",
    )
    return [
        (weight, Image.open(next(f / name for f in folders if (f / name).is_file())).convert("RGB"))
        for name, weight in PHOTOGRAPHS.items()
    ]


DATASETS: dict[str, Callable[[], list[NamedImage]]] = {
    "digits": digits,
    "faces": faces,
    "tissue": tissue,
}
