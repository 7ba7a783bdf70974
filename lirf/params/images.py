"""The section `prepare`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lirf.params.base import Positive, Section


class Prepare(Section):
    """Which images, and what is done to them before anything sees them."""

    images: str
    resolution: Annotated[int, Field(ge=8, le=512)]
    colour: Literal["grey", "rgb"]
    flip: bool
    on_bad_image: Literal["fail", "skip"]
    max_megapixels: Positive
