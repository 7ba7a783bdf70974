"""The state of an autoencoder's training, in memory and on disk.

As with the velocity field, the state carries all that the next step depends on, so that k steps,
saved, loaded and k more, are 2k steps bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lirf import params
from lirf.autoencoder import kinds
from lirf.autoencoder import losses as terms
from lirf.autoencoder import model as ae
from lirf.store import files, tensors

FORMAT = 2
TENSORS, DOCUMENT = "state.safetensors", "state.json"
MOMENTS = ("exp_avg", "exp_avg_sq")

LEAST_BATCH = 4


@dataclass
class State:
    """All that the next step depends on but the images and `params.Autoencoder`.

    Attributes:
        framed: the autoencoder in training.
        head: from latents to the frozen network's features, for `alignment: features`.
        optimizer: Adam over model and head.
        generator: on the CPU, of pairs, shifts and noise.
        queue: images that are still to come before any comes again.
        average: of the trained weights of the model by their name, with `ema_decay`.
        best: those that did best on the images set aside, where there are any.
        looks: the loss on these at every look so far.
        step: steps taken so far.
    """

    framed: ae.Framed
    head: nn.Module | None
    optimizer: torch.optim.Adam
    generator: torch.Generator
    queue: Tensor
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    looks: list[float] = field(default_factory=list)
    step: int = 0

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """Return the weights of the model that are trained, by their name there."""
        return _trained(self.framed.model)

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """Return all that is trained by its name."""
        parts = {"model": self.framed.model, "head": self.head}
        return {
            f"{part}.{name}": weight
            for part, module in parts.items()
            if module is not None
            for name, weight in _trained(module).items()
        }

    def finished(self) -> ae.Framed:
        """Return what training was for: the best weights, else the averaged, else the last."""
        self._put(self.best or self.average)
        self.framed.model.eval()
        return self.framed

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Have the weights in the model that training would end with here: any averaged ones."""
        own = _copies(self.trained) if self.average else {}
        self._put(self.average)
        yield
        self._put(own)

    def keep_if_best(self, loss: float) -> None:
        """Take note of a look, and of the weights that are in the model if none did better."""
        self.looks.append(loss)
        if loss == min(self.looks):
            self.best = _copies(self.trained)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into the model."""
        trained = self.trained
        for name, weight in weights.items():
            trained[name].copy_(weight)


def initial(
    config: params.Autoencoder,
    framed: ae.Framed,
    device: torch.device,
    eyes: terms.Eyes = terms.BLIND,
) -> State:
    """Return the state before training `framed`; its draws depend on `config.seed` alone.

    Raises:
        ValueError: the batch is too small.
    """
    if config.batch < LEAST_BATCH:
        raise ValueError(f"autoencoder.batch = {config.batch}: at least {LEAST_BATCH} needed")
    model = ae.to(framed.model, device).train()
    if config.finetune == "decoder":
        kinds.freeze_encoder(model)
    head = None
    if config.alignment == "features":
        features = eyes.followed(config.align.by).width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            head = terms.head(kinds.latent_channels(model), config.align.width, features)
        head.to(device)
    trained = _trained(model)
    return State(
        framed,
        head,
        torch.optim.Adam(
            [*trained.values(), *(head.parameters() if head else ())], lr=config.learning_rate
        ),
        torch.Generator().manual_seed(config.seed),
        torch.empty(0, dtype=torch.int64),
        average=_copies(trained) if config.ema_decay else {},
        best=_copies(trained) if config.holdout else {},
    )


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: one for name, one in module.named_parameters() if one.requires_grad}


def _copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in weights.items()}


def save(state: State, folder: Path) -> None:
    """Write `state` to a new folder: safetensors and JSON; the same state gives the same bytes."""
    folder.mkdir()
    tensors.write(folder / TENSORS, {**_tensors(state), "queue": state.queue})
    document = {
        "format": FORMAT,
        "step": state.step,
        "looks": state.looks,
        "generator": tensors.generator_to_text(state.generator),
        "files": files.checksums(folder),
    }
    files.write_json(folder / DOCUMENT, document)


def load(state: State, folder: Path) -> State:
    """Fill an untrained state of the same parameters with what `save` wrote, and return it.

    Raises:
        ValueError: names the file that is missing, damaged or of another model.
    """
    document = files.read_versioned(folder / DOCUMENT, FORMAT)
    path = folder / TENSORS
    try:
        stored = tensors.read(path, document["files"].get(TENSORS))
        state.queue = stored.pop("queue")
        into = _tensors(state)
        tensors.copy(stored, into, path, "this autoencoder")
        for name, weight in state.weights.items():
            moments = {moment: into[f"{name}.{moment}"] for moment in MOMENTS}
            state.optimizer.state[weight] = {
                "step": torch.tensor(float(document["step"])),
                **moments,
            }
        state.generator.set_state(tensors.generator_from_text(document["generator"]))
        state.step, state.looks = int(document["step"]), [*map(float, document["looks"])]
    except (KeyError, TypeError):
        raise ValueError(f"{folder / DOCUMENT}: damaged; {files.REMEDY}") from None
    return state


def _tensors(state: State) -> dict[str, Tensor]:
    """Return all weights and moments by name; moments of an untrained state are zeros."""
    kept = {"average": state.average, "best": state.best}
    found = {f"{part}.{name}": one for part, named in kept.items() for name, one in named.items()}
    for name, weight in state.weights.items():
        known = state.optimizer.state.get(weight, {})
        found[name] = weight.detach()
        for moment in MOMENTS:
            found[f"{name}.{moment}"] = known.get(moment, torch.zeros_like(weight.detach()))
    return found
