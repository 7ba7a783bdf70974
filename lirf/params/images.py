"""The section `prepare`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from lirf.params.base import Positive, Section, Seed


class Prepare(Section):
    """Which images, and what is done to them before anything sees them."""

    images: str
    resolution: Annotated[int, Field(ge=8, le=512)]
    colour: Literal["grey", "rgb"]
    flip: bool
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # published models may not say
    seed: Seed = 0
    on_bad_image: Literal["fail", "skip"]
    max_megapixels: Positive

    @field_validator("images", mode="before")
    @classmethod
    def _names_a_folder(cls, images: Any) -> Any:
        """Check that it is text, which in YAML digits alone are not."""
        if not isinstance(images, str) or not images.strip():
            raise ValueError(
                f"prepare.images = {images!r}: must name a folder; put digits in quotes"
            )
        return images
