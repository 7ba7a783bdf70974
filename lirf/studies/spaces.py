"""The latent spaces of a study: the section `autoencoder`, changed by each line of `spaces`."""

from __future__ import annotations

from lirf import params
from lirf.params import Autoencoder, SpacesParams


def sections(numbers: SpacesParams) -> dict[str, Autoencoder]:
    """Return the section of every line of `spaces` by its name.

    A mapping within the section keeps what a line does not name.

    Raises:
        ValueError: one line that names the space, the key, the value and the remedy.
    """
    found = {}
    for name, changes in numbers.spaces.items():
        document = numbers.autoencoder.model_dump()
        for key, value in changes.items():
            nested = isinstance(value, dict) and isinstance(document.get(key), dict)
            document[key] = {**document[key], **value} if nested else value
        found[name] = params.validate(Autoencoder, document, f"spaces.{name}")
    return found
