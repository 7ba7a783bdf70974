"""The page of a finished run as a person sees it, in headless Chromium on a real server."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from toy import ask, last_run, run_flow, within

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs chromium-driver (apt)"),
]
SCREENS = os.environ.get("LIRF_SCREENS")
"""Where to leave screenshots, if anywhere."""


@pytest.fixture(scope="module")
def run(toy: Path, finished: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
    """Return a run that finds everything done."""
    assert finished["state_name"] == "Completed"
    run_flow(toy, env, "evaluate@r01")
    return last_run(env, "evaluate@r01")


def see(browser: Chrome, env: dict[str, str], path: str, *texts: str) -> None:
    """Open a page of the UI and wait until it shows every one of `texts`."""
    browser.get(env["PREFECT_API_URL"].removesuffix("/api") + path)

    def shown(driver: Chrome) -> bool:
        page = driver.execute_script("return document.body.innerText")
        return all(text in page for text in texts)

    WebDriverWait(browser, 40).until(shown, f"{path} does not show {texts}")


def keep(browser: Chrome, name: str) -> None:
    if SCREENS:
        browser.save_screenshot(str(Path(SCREENS) / name))


def test_the_runs_page_shows_the_round(run: dict[str, Any], env: dict[str, str], browser: Chrome):
    see(browser, env, f"/runs/flow-run/{run['id']}?tab=Subflow+Runs", "evaluate@r01", "r01")
    keep(browser, "run.png")


def test_the_rounds_page_shows_its_cached_stages(
    run: dict[str, Any], env: dict[str, str], browser: Chrome
):
    r01 = within(env, run)["r01"]
    see(browser, env, f"/runs/flow-run/{r01['id']}?tab=Task+Runs", "train@r01", "Cached")
    keep(browser, "round.png")


def test_the_pictures_are_drawn(run: dict[str, Any], env: dict[str, str], browser: Chrome):
    r01 = within(env, run)["r01"]
    found = ask(env, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [r01["id"]]}}})
    (page,) = [one["id"] for one in found if one["key"] == "r01-pictures"]
    see(browser, env, f"/artifacts/artifact/{page}", "grid", "nearest")

    def drawn(driver: Chrome) -> bool:
        images = driver.find_elements(By.CSS_SELECTOR, "img[src^='data:image/png;base64']")
        return len(images) == 2 and all(
            driver.execute_script("return arguments[0].naturalWidth", image) == 96
            for image in images
        )

    WebDriverWait(browser, 20).until(drawn, "the pictures are not drawn")
    keep(browser, "pictures.png")


def test_no_page_asks_anything_outside(env: dict[str, str], browser: Chrome):
    see(browser, env, "/", "Flow Runs")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {
        urlsplit(message["params"]["request"]["url"]).hostname
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["request"]["url"].startswith(("http", "ws"))
    }
    assert asked == {"127.0.0.1"}
