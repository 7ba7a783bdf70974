"""The numbers of a run: frozen models of `params.yaml`, validated as a whole before any work."""

from lirf.params.base import Count, Fraction, Name, Section, Seed
from lirf.params.images import Prepare
from lirf.params.latents import Align, Augmentation, Autoencoder, Encode, Midpoints, Vision
from lirf.params.measures import Diagnose, Evaluate, Page, Publish
from lirf.params.networks import MLP, Initialize, Transformer
from lirf.params.reading import load, load_study, read, validate
from lirf.params.root import BANK_ZERO, Params
from lirf.params.rounds import Admit, Correct, Model, Round, Sample
from lirf.params.studies import (
    Pretrain,
    PretrainParams,
    SpacesParams,
    Spiral,
    SpiralLoop,
    SpiralParams,
)
from lirf.params.training import StopOn, Train

__all__ = [
    "BANK_ZERO", "MLP", "Admit", "Align", "Augmentation", "Autoencoder", "Correct", "Count",
    "Diagnose", "Encode", "Evaluate", "Fraction", "Initialize", "Midpoints", "Model", "Name",
    "Page", "Params", "Prepare", "Pretrain", "PretrainParams", "Publish", "Round", "Sample",
    "Section", "Seed", "SpacesParams", "Spiral", "SpiralLoop", "SpiralParams", "StopOn", "Train",
    "Transformer", "Vision", "load", "load_study", "read", "validate",
]  # fmt: skip
