"""Settings of all tests, and the browser of those that are marked `browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import stages  # noqa: F401 - before torch: it says how threads wait

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# The first call into torch or FAISS takes longer than Hypothesis's deadline.
settings.register_profile("lirf", deadline=None)
settings.load_profile("lirf")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return headless Chromium, which logs what it asks of any network and what it complains of."""
    from selenium.webdriver import Chrome, ChromeOptions  # only the tests with a browser pay for it
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tmp_path_factory.mktemp("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1500,1000"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
