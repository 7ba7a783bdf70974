"""The card of a published model: what it is, from what, how good, how much of it is memorised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from lirf.measure.table import MEASURED, shown
from lirf.report import report

SAMPLES = "samples.png"
COLOURS = {"grey": "grey", "rgb": "colour"}
TASK = "unconditional-image-generation"
PROTOCOL = ("n_fake", "n_reference", "n_train", "features", "resolution", "neighbours", "seed")


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        name: of the model.
        licence: of the weights, an identifier of the Hugging Face hub.
        description: of the training images, in the words of who publishes.
        resolution: px, of the images.
        colour: "grey" or "rgb".
        images: how many there were, by kind: `train`, `mirrored`, `heldout`.
        admitted: how many latents each round added to those of the training images.
        result: the metrics of the model.
        baseline: the metrics of plain flow matching, None where there is none.
        diagnosis: the collapse of the model.
        baseline_diagnosis: the collapse of the baseline, if there is one.
        same_steps: whether the baseline has as many steps as the loop.
        solver: in words.
        pretrained: the name of the autoencoder, None where it was trained on the same images.
    """

    name: str
    licence: str
    description: str
    resolution: int
    colour: str
    images: Mapping[str, int]
    admitted: Mapping[str, int]
    result: Mapping[str, Any]
    baseline: Mapping[str, Any] | None
    diagnosis: Mapping[str, Any]
    baseline_diagnosis: Mapping[str, Any] | None
    solver: str
    pretrained: str | None = None
    same_steps: bool = True


def make(facts: Facts) -> ModelCard:
    """Return the card: Markdown, and front matter with the metrics and what a hub searches by."""
    text = "\n".join(
        [
            f"# {facts.name}\n",
            f"Makes {COLOURS[facts.colour]} images of {facts.resolution} x {facts.resolution} px."
            f" Trained from scratch on {facts.images['train']} images by Latent Iterative"
            " Refinement Flow (arXiv 2509.19903): flow matching in the latent space of"
            f" {_space(facts)} autoencoder, on a set that is made denser round by round so that"
            " samples are not memorised.\n",
            f"![samples, not chosen]({SAMPLES})\n",
            _use(facts),
            _data(facts),
            _evaluation(facts),
            _memorisation(facts),
            _uses_and_limits(facts),
        ]
    )
    data = ModelCardData(
        model_name=facts.name,
        license=facts.licence,
        library_name="diffusers",
        pipeline_tag=TASK,
        tags=["flow-matching", "lirf"],
        eval_results=_measured(facts) or None,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def _space(facts: Facts) -> str:
    return "an" if facts.pretrained is None else f"the pretrained `{facts.pretrained}`"


def _measured(facts: Facts) -> list[EvalResult]:
    """Return the metrics of the model, each with the images that it is held against."""
    result = facts.result
    if result["generator"] != "network":
        return []
    return [
        EvalResult(
            task_type=TASK,
            dataset_type="imagefolder",
            dataset_name=facts.description,
            dataset_split="train" if metric.against == "training images" else result["reference"],
            metric_type=metric.key,
            metric_name=metric.name,
            metric_value=result[metric.key],
            metric_args={key: result[key] for key in PROTOCOL},
        )
        for metric in MEASURED
        if result.get(metric.key) is not None
    ]


def _use(facts: Facts) -> str:
    return f"""\
## Use

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{facts.name}", trust_remote_code=True)
images = pipeline(batch_size=4).images              # Pillow images
images = pipeline(seeds=[17, 18], num_inference_steps=50).images
```

`"{facts.name}"` is this folder, or its name on a hub. `trust_remote_code` runs `pipeline.py` and
the code in `network/` and `scheduler/`: read it first. An image depends on its seed alone, whatever
the batch. `generator=` takes torch's generators, `output_type` is `pil`, `np`, `pt` or `latent`.
By default the solver is that of training ({facts.solver}).
"""


def _data(facts: Facts) -> str:
    images = facts.images
    rounds = ", ".join(f"{name}: {count}" for name, count in facts.admitted.items())
    mirrored = f", {images['mirrored']} of them also mirrored" if images["mirrored"] else ""
    return f"""\
## Training data

{facts.description}: {images["train"]} images{mirrored}, cut to their centre square and scaled to
{facts.resolution} px; {images["heldout"]} more were held out and never trained on. The images
themselves are not in this folder. The rounds added {sum(facts.admitted.values())} refined latents,
samples of the model itself pulled towards the training images' latents ({rounds}).
"""


def _evaluation(facts: Facts) -> str:
    results = [{**facts.result, "round": "this model"}]
    plain = ""
    if facts.baseline:
        results.insert(0, {**facts.baseline, "round": "baseline"})
        steps = " for as many steps" if facts.same_steps else ""
        plain = (
            f"The baseline is the same network trained{steps} on the same images without the"
            " rounds.\n"
        )
    table = report.table(results, report.protocol_line(facts.result))
    meanings = "\n".join(f"- *{metric.title}*: {metric.meaning}" for metric in shown(results))
    warning = ""
    if facts.result["generator"] != "network":
        warning = f"\n**Measured with {facts.result['generator']} in place of this model.**\n"
    return f"""\
## Evaluation
{warning}
{table}
{plain}
{meanings}
"""


def _memorisation(facts: Facts) -> str:
    memorised, collapse = facts.result["memorised"], facts.diagnosis["collapse_real"]
    beside, below = "", ""
    if facts.baseline and facts.baseline_diagnosis:
        beside = f"; of the baseline's, {facts.baseline['memorised']:.1%}"
        below = f"; of the\nbaseline, {facts.baseline_diagnosis['collapse_real']:.3f}"
    return f"""\
## Memorisation

{memorised:.1%} of {facts.result["n_fake"]} samples are memorised: a training image, or what the
autoencoder makes of one, almost unchanged{beside}. Collapse onto the training
images, 0 where samples are as new as a left-out image would be and 1 where all are memorised:
{collapse:.3f}{below}.
Both look at nearest neighbours only: a sample that is not memorised may still
show a detail, a person or a mark of a training image.
"""


def _uses_and_limits(facts: Facts) -> str:
    foreign = ""
    if facts.pretrained is not None:
        foreign = (
            f"\n- `vae/` holds `{facts.pretrained}`, which others made: it has a licence of its"
            " own,\n  to which this model is bound too."
        )
    return f"""\
## Intended use

Research on generative models of few images, illustration, and augmentation that is checked
against held-out images.

## Limits

- It knows {facts.images["train"]} images. What they lack, it lacks; what is frequent among them is
  more frequent still among its samples where density exceeds 1.
- Not for decisions about people, for diagnosis, or as evidence: a sample is not an observation.
- Before samples are passed on as new, compare them with the training images (`lirf nearest`).
- The rights in the training images hold for what the model learned from them. Licence of the
  weights: {facts.licence}.{foreign}
- One training run with one seed; the numbers say nothing of the spread.

`provenance.json` has its parameters, the hashes of what this folder was made of, the versions of
the software, and a checksum of every file.
"""
