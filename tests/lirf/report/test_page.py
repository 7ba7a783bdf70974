"""The page: whole in itself, the same numbers as the table, usable by keyboard, phone and night."""

import json
import re
import shutil
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lirf.measure import standard, verdict
from lirf.measure.table import METRICS
from lirf.params import Page
from lirf.report import cards, page, pictures, tables
from lirf.report.cards import Measured
from lirf.report.page import Content, Descent, Neighbour, Sample
from lirf.store import lineage

HOSTILE = '"><img src=x onerror=alert(1)></script><b>&amp;.png'
MODELS = ["r01", "r02", "final", "baseline"]
PROTOCOL = {
    "n_fake": 1000, "n_reference": 50, "n_train": 4, "reference": "heldout", "flip": False,
    "features": "pixels", "feature_hash": None, "resolution": 8, "resize": "lanczos",
    "neighbours": 5, "solver": "heun", "solver_steps": 20, "seed": 1, "autoencoder": "ab" * 32,
    "generator": "network", "mixup_neighbours": None, "frechet": 1.25, "frechet_reason": None,
    "memorised_ratio": 0.8,
}  # fmt: skip
ADMISSION = {"lambda": 0.8, "candidates": 9, "too_far": 3, "too_close": 2, "crowded": 0}


def uri(seed: int) -> str:
    image = np.random.default_rng(seed).integers(0, 256, (1, 8, 8), np.uint8)
    return pictures.data_uri(image, 96)


def measured() -> Measured:
    rows = {
        run: {
            "round": run, "memorised": 0.1 + 0.01 * i,
            "precision": 0.9, "recall": 0.2, "density": 1.1,
            "coverage": 0.6, "frechet": None if run == "r02" else 1.25 + i, "vendi": 17.0,
            "memorised_pixels": 0.125, "memorised_heldout": 0.02, "sharpness": 20.0 + i,
            "sharpness_heldout": 33.0,
            "bank_rows": 4 + i, "train_steps": 40,
        }
        for i, run in enumerate(MODELS)
    }  # fmt: skip
    for run, count in (("r01", 2), ("r02", 1)):
        rows[run] |= {**ADMISSION, "admitted": count, "bank_after": 6}
    diagnosis = {
        "collapse_real": 0.5, "collapse_bank": -0.1, "bank_to_reference": 1.1,
        "bank_to_reference_mean": 0.7, "reference_to_bank": 1.8, "reference_to_bank_mean": 1.0,
        "memorised_latents": 0.25, "distance_to_memorising": 0.5, "n_paths": 256, "path_steps": 20,
        "path_seed": 2, "reference_latents": "heldout", "n_reference_latents": 50,
    }  # fmt: skip
    return Measured(
        loop=[run for run in MODELS if run != "baseline"],
        baselines=["baseline"],
        rows=rows,
        diagnoses=dict.fromkeys(MODELS, diagnosis),
        distances={run: [(0.0, 0.1), (0.5, 0.4), (0.9, 1.0)] for run in MODELS},
        memorised_by_density={run: [0.25, float("nan")] for run in MODELS},
        losses={run: [(10.0 * i + 1, 1.0), (10.0 * i + 9, 0.5)] for i, run in enumerate(MODELS)},
    )


def descent() -> Descent:
    rows: list[dict[str, Any]] = [
        {"id": f"train-{i}", "round": "r00", "kind": "real",
         "source": HOSTILE if i == 0 else f"{i}.png", "flip": i == 3,
         "parents": None, "weights": None}
        for i in range(4)
    ]  # fmt: skip
    facts = {"kind": "refined", "source": None, "flip": None, "lambda": 0.8, "displacement": 1.5,
             "novelty": 2.5, "seed": 2**62}  # fmt: skip
    for id_, parents, weights in (
        ("r01-0", ["train-0", "train-1"], [0.75, 0.25]),
        ("r01-1", ["train-2", "train-3"], [0.5, 0.5]),
        ("r02-0", ["r01-0", "train-2"], [0.6, 0.4]),
    ):
        row = {"id": id_, "round": id_[:3], "parents": parents, "weights": weights}
        rows.append({**facts, **row})
    tree = lineage.build(rows)
    shown = {"r01": [4, 5], "r02": [6]}
    return Descent(rows, tree, shown, {place: uri(place) for place in range(7)})


def content(**changes: Any) -> Content:
    numbers = measured()
    near = [Neighbour(f"train-{i}", i == 3, 0.5 + i) for i in range(4)]
    samples = [Sample(uri(90 + i), 2**62 + i, 0.2 + 0.1 * i, i < 2, near) for i in range(10)]
    judged = verdict.judge(
        {**PROTOCOL, **numbers.rows["final"]},
        {**PROTOCOL, **numbers.rows["baseline"]},
        [numbers.rows["r01"]],
        Page(memorised=0.05, margin=0.05),
    )
    whole = Content(
        subject="4 images of photos",
        verdict=judged,
        protocol=PROTOCOL,
        measured=numbers,
        cards=cards.of(numbers, PROTOCOL, judged.judged),
        samples=dict.fromkeys(["baseline", "r01", "r02", "final"], samples),
        images={f"train-{i}": (uri(i), HOSTILE if i == 0 else f"{i}.png") for i in range(4)},
        descent=descent(),
        facts=[("Metrics", PROTOCOL), ("params.yaml: x", {HOSTILE: HOSTILE})],
        pixelated=True,
    )
    return replace(whole, **changes)


@dataclass
class Seen(HTMLParser):
    """What a parser sees of a page."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    inside: str = ""
    data: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self.inside = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "data":
            self.data += data
        elif not self.inside and data.strip():
            self.text.append(data.strip())

    def all(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


def read(text: str) -> Seen:
    seen = Seen()
    seen.feed(text)
    return seen


@pytest.fixture(scope="module")
def text() -> str:
    return page.render(content())


@pytest.fixture(scope="module")
def seen(text: str) -> Seen:
    return read(text)


def test_the_same_content_gives_the_same_bytes(text):
    assert page.render(content()) == text


def test_it_asks_nothing_of_any_network(seen):
    for name in ("src", "href"):
        for value in seen.all(name):
            assert value.startswith(("data:", "#")), value
    assert not {"link", "iframe", "object", "audio", "video"} & {
        tag for tag, attrs in seen.tags if attrs.get("rel") != "icon"
    }
    (policy,) = [
        a["content"] for _, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_style_and_the_script_ask_nothing_either(text):
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp", text.split("<body>")[0])
    script = (page.HERE / "page.js").read_text()
    assert not re.search(r"https?:|fetch\(|XMLHttp|import\(|innerHTML|eval\(", script)


def test_what_refers_to_a_part_of_the_page_finds_it(seen):
    ids = seen.all("id")
    assert len(ids) == len(set(ids))
    links = [value[1:] for value in seen.all("href") if value.startswith("#")]
    assert set(links) | set(seen.all("aria-controls")) | set(seen.all("aria-labelledby")) <= set(
        ids
    )


def test_headings_skip_no_level_and_there_is_one_first(seen):
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_picture_has_words(seen):
    named_by_button = 0
    for (_, before), (tag, attrs) in pairwise(seen.tags):
        if tag == "img" and not attrs["alt"]:
            assert before["aria-label"], "the button around it says what it is"
            named_by_button += 1
        if tag == "svg":
            assert attrs["aria-label"]
    assert named_by_button == 4 * 10 + 3


def test_the_numbers_are_those_of_the_table(seen):
    table = seen.text.index("model")
    for run, row in measured().rows.items():
        at = seen.text.index(run, table)
        cells = seen.text[at + 1 : at + 1 + len(METRICS)]
        assert cells == [tables.number(row[column.key], column.form) for column in METRICS]


def test_held_out_images_have_a_row_of_their_own(seen):
    at = seen.text.index("held-out images", seen.text.index("model"))
    cells = seen.text[at + 1 : at + 1 + len(METRICS)]
    shown = {metric.key: cell for metric, cell in zip(METRICS, cells, strict=True)}
    assert {key: cell for key, cell in shown.items() if cell != "–"} == {
        "memorised": "0.020", "sharpness": "33.0"
    }  # fmt: skip


def test_names_of_files_stay_text(seen):
    assert HOSTILE in seen.text
    assert HOSTILE in json.loads(seen.data)["images"]["train-0"]
    assert not [attrs for tag, attrs in seen.tags if attrs.get("src") == "x" or "onerror" in attrs]
    assert [tag for tag, _ in seen.tags].count("script") == 2


def test_a_latent_comes_with_its_ancestors_and_the_share_of_each_image(seen):
    latents = json.loads(seen.data)["latents"]
    assert latents["6"]["parents"] == [[4, 0.6], [2, 0.4]]
    shares = {place: pytest.approx(share) for place, share in latents["6"]["shares"]}
    assert shares == {0: 0.45, 2: 0.4, 1: 0.15}
    assert latents["6"]["seed"] == str(2**62), "a number of JavaScript's would lose digits"
    assert set(latents) == {str(place) for place in range(7)}


def test_only_the_shown_and_their_ancestors_are_in_the_page():
    whole = descent()
    found = json.loads(read(page.render(content(descent=replace(whole, shown={"r01": [4]})))).data)
    assert set(found["latents"]) == {"0", "1", "4"}


def test_a_run_that_admitted_nothing_says_so():
    assert "No round admitted anything" in page.render(
        content(descent=replace(descent(), shown={}))
    )


def test_samples_of_any_origin_have_a_page_without_what_only_a_run_has():
    result = {**PROTOCOL, **measured().rows["final"], "precision_training": 0.9}
    result |= {"coverage_expected": 0.6, "n_fake": 10}
    del result["bank_rows"]
    near = [Neighbour("train-0", True, 0.5)]
    samples = [Sample(uri(i), f"{HOSTILE}{i}.png", 0.2 + i, i < 1, near) for i in range(3)]
    judged = standard.judge(result, 0.05)
    text = page.render(
        content(
            verdict=judged,
            protocol=result,
            measured=replace(measured(), loop=["samples"], baselines=[], rows={"samples": result}),
            cards=cards.alone(result, judged.judged, standard.standards(result)),
            samples={"samples": samples},
            descent=None,
            line="judged so.",
            nearest=samples[:2],
        )
    )
    found = read(text)
    anchors = {tag["id"] for _, tag in found.tags if tag.get("id")}
    links = [tag["href"] or "" for name, tag in found.tags if name == "a"]
    assert {link[1:] for link in links} <= anchors
    assert {"verdict", "numbers", "samples", "nearest", "protocol"} <= anchors
    assert not anchors & {"lineage", "rounds", "collapse"}
    assert "tablist" not in {tag.get("role") for _, tag in found.tags}
    words = " ".join(found.text)
    assert judged.sentence in words
    assert f"{HOSTILE}0.png" in words
    assert "judged so." in words
    assert "baseline" not in words.replace("baseline,", "")
    assert json.loads(found.data)["samples"]["samples"][2]["origin"] == f"{HOSTILE}2.png"


def test_a_frechet_distance_that_is_missing_has_its_reason():
    few = {**PROTOCOL, "frechet": None, "frechet_reason": "50 reference images: needs at least 100"}
    shown = cards.of(measured(), few, {})
    assert "no value: 50 reference images" in page.render(content(cards=shown))


# What follows needs a browser.


browsing = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs chromium-driver (apt)"),
]

CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
document.querySelectorAll("details").forEach((one) => (one.open = true));
return [...document.querySelectorAll("body *")].filter((one) =>
  one.checkVisibility() && !["SCRIPT", "STYLE"].includes(one.tagName)
  && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
).map((one) => {
  const style = getComputedStyle(one), svg = one instanceof SVGElement;
  const a = light(parse(svg ? style.fill : style.color)), b = light(behind(one));
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.trim()];
});
"""


@pytest.fixture(scope="module")
def opened(browser, text: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the browser with the page open from a file."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(text)
    for log in ("browser", "performance"):
        browser.get_log(log)  # forgets what came before
    browser.get(path.as_uri())
    return browser


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def look(browser: Any, width: int, scheme: str) -> None:
    """Show the page at a width, by day or by night, anew."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.refresh()


class TestInABrowser:
    pytestmark = browsing

    def test_it_opens_without_a_complaint_or_a_request(self, opened):
        assert opened.execute_script("return document.documentElement.className") == "pixelated"
        assert opened.get_log("browser") == []
        messages = [json.loads(one["message"])["message"] for one in opened.get_log("performance")]
        asked = {
            one["params"]["request"]["url"].partition(":")[0]
            for one in messages
            if one["method"] == "Network.requestWillBeSent"
            and one["params"]["documentURL"].startswith("file:")  # not the browser's own first page
        }
        assert "file" in asked
        assert asked <= {"file", "data"}
        assert opened.execute_script(
            "return [...document.images].every((i) => i.naturalWidth === 8)"
        )

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1280])
    def test_text_stands_out_and_nothing_sticks_out(self, opened, width, scheme):
        look(opened, width, scheme)
        found = opened.execute_script(CONTRAST)
        assert len(found) > 100
        assert [one for one in found if one[0] < 4.5] == []
        room = opened.execute_script("return document.documentElement.clientWidth")
        assert width - 20 < room <= width  # a scroll bar may stand beside it
        assert opened.execute_script("return document.documentElement.scrollWidth") == room
        paper = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", paper)[0]) < 60) == (scheme == "dark")

    def test_tabs_and_tiles_work_by_keyboard(self, opened):
        from selenium.webdriver.common.keys import Keys

        look(opened, 1280, "light")

        def focused(script: str) -> Any:
            return opened.execute_script(f"return document.activeElement.{script}")

        opened.execute_script("document.getElementById('tab-final').focus()")
        press(opened, Keys.ARROW_RIGHT)  # from the last to the first
        assert focused("id") == "tab-baseline"
        shown = (
            "return [...document.querySelectorAll('#samples [role=tabpanel]')]"
            ".filter((p) => !p.hidden).map((p) => p.id)"
        )
        assert opened.execute_script(shown) == ["panel-baseline"]
        assert (
            opened.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
            == "solid"
        )
        press(opened, Keys.ARROW_RIGHT, Keys.TAB)
        assert opened.execute_script(shown) == ["panel-r01"]
        press(opened, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ENTER)
        assert focused("dataset.at") == "8"
        assert focused("ariaPressed") == "true"
        card = opened.execute_script(
            "return document.querySelector('#panel-r01 .detail').innerText"
        )
        assert "Sample 9" in card
        assert "1.00" in card
        assert str(2**62 + 8) in card
        press(opened, Keys.TAB)
        assert focused("className") != "tile", "of a grid one tile is reached by Tab"

    def test_a_latent_that_is_clicked_shows_its_ancestors(self, opened):
        look(opened, 1280, "light")
        opened.execute_script("document.getElementById('tab-bank-r01').click()")
        opened.execute_script("document.querySelector('#panel-bank-r01 [data-at=\"5\"]').click()")
        card = "document.querySelector('#panel-bank-r01 .detail')"
        found = opened.execute_script(f"return {card}.innerText")
        assert "r01-1" in found
        assert "2 real images" in found
        assert "2.png" in found
        opened.execute_script("document.getElementById('tab-bank-r02').click()")
        found = opened.execute_script(
            "return document.querySelector('#panel-bank-r02 .detail').innerText"
        )
        for words in ("45 %", "40 %", "15 %", "r01-0", HOSTILE):
            assert words in found
        leaves = "return document.querySelectorAll('#panel-bank-r02 .tree .leaf').length"
        assert opened.execute_script(leaves) == 3
        assert opened.get_log("browser") == []
