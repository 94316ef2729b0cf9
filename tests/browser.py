"""A browser without a window, for the tests of pages."""

import os
from shutil import which

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
DRIVER = which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI_BROWSER"),
    reason="no chromium with chromedriver here (apt-get install chromium chromium-driver)",
)


def open_browser():
    """Start a browser; the caller quits it."""
    assert CHROMIUM and DRIVER, "CI_BROWSER is set, but there is no chromium with chromedriver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))
