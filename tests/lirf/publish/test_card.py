"""The card says what there is, and does not claim what was not measured."""

from dataclasses import replace
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from lirf.measure.table import MEASURED, METRICS
from lirf.publish import card

RESULT: dict[str, Any] = {
    "memorised": 0.0123, "precision": 0.9, "recall": 0.1, "density": 1.1, "coverage": 0.6,
    "frechet": None, "vendi": 7.0, "sharpness": 18.0, "memorised_pixels": 0.25,
    "memorised_heldout": 0.005, "sharpness_heldout": 33.0, "bank_rows": 321,
    "n_fake": 70, "n_reference": 40,
    "n_train": 12, "reference": "heldout", "flip": False, "features": "pixels",
    "feature_hash": None, "resolution": 8, "resize": "lanczos", "neighbours": 3, "solver": "heun",
    "solver_steps": 4, "seed": 1, "generator": "network", "autoencoder": "ab" * 32,
}  # fmt: skip
FACTS = card.Facts(
    name="horses",
    licence="cc-by-nc-4.0",
    description="Horses of one studio",
    resolution=8,
    colour="rgb",
    images={"train": 12, "mirrored": 11, "heldout": 40},
    admitted={"r01": 200, "r02": 109},
    result=RESULT,
    baseline={**RESULT, "memorised": 0.456, "bank_rows": 12},
    diagnosis={"collapse_real": -0.0512},
    baseline_diagnosis={"collapse_real": 0.61},
    solver="heun, 4 steps",
)


def write(facts: card.Facts = FACTS, **changes: Any) -> str:
    return str(card.make(replace(facts, **changes)))


def test_a_hub_reads_its_front_matter_and_every_metric():
    data = ModelCard(write()).data.to_dict()
    assert data["license"] == "cc-by-nc-4.0"
    assert data["library_name"] == "diffusers"
    assert data["pipeline_tag"] == "unconditional-image-generation"
    read = ModelCardData(**data).eval_results
    assert read is not None
    found = {one.metric_type: one.metric_value for one in read}
    assert found == {
        metric.key: RESULT[metric.key] for metric in MEASURED if RESULT[metric.key] is not None
    }
    assert {one.metric_type: one.dataset_split for one in read}["memorised"] == "train"
    assert {one.dataset_split for one in read} == {"train", "heldout"}
    assert {one.dataset_name for one in read} == {"Horses of one studio"}


def test_held_out_images_stand_below_the_models():
    text = write()
    (row,) = [line for line in text.splitlines() if line.startswith("| held-out images |")]
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["0.005", "–"]
    assert " 33.0 |" in row


def test_it_says_what_each_metric_means():
    text = write()
    for metric in METRICS:
        assert f"*{metric.title}*: {metric.meaning}" in text


def test_words_of_the_user_end_no_front_matter():
    odd = 'Blots: "a"\n---\n# x'
    data = ModelCard(write(description=odd)).data.to_dict()
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == odd


def test_without_a_baseline_none_is_told_of():
    text = write(baseline=None, baseline_diagnosis=None)
    assert "| this model | 0.012 |" in text
    assert "baseline" not in text


def test_it_tells_data_metrics_and_memorisation():
    text = write()
    for said in (
        "# horses\n", "Horses of one studio: 12 images, 11 of them also mirrored", "40 more were",
        "309 refined latents", "(r01: 200, r02: 109)", "| this model | 0.012 |",
        "| baseline | 0.456 |", "1.2% of 70 samples are memorised", "45.6%", "-0.051", "0.610",
        "(heun, 4 steps)", "cc-by-nc-4.0.", "against 40 held-out images",
    ):  # fmt: skip
        assert said in text, said
    assert "in place of" not in text


def test_numbers_that_are_not_the_models_are_said_to_be_none():
    result = {**RESULT, "generator": "memory"}
    text = write(result=result)
    assert "**Measured with memory in place of this model.**" in text
    assert ModelCard(text).data.to_dict().get("model-index") is None


def test_an_autoencoder_of_others_is_named_with_its_licence():
    own, foreign = (write(pretrained=one) for one in (None, "someone/vae"))
    assert "in the latent space of the pretrained `someone/vae` autoencoder" in foreign
    assert "- `vae/` holds `someone/vae`, which others made: it has a licence of its own" in foreign
    assert "in the latent space of an autoencoder" in own
    assert "others made" not in own
