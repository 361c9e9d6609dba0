"""Chromium for tests of pages, and what no page may do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)


@pytest.fixture(scope='module')
def chromium_browser():
    """A browser; the tests of a module share it."""
    if CHROMIUM is None:
        pytest.skip('there is no Chromium')
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield opened
        opened.close()


@contextmanager
def new_page(browser, allowed: tuple[str, ...], **options) -> Iterator:
    """A page that tells no error and asks for nothing but addresses that begin as allowed.

    What it asks for elsewhere does not leave this machine.
    """
    page = browser.new_page(viewport=dict(width=1200, height=800), **options)
    troubles, elsewhere = [], []

    def asked(route):
        if route.request.url.startswith(allowed):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    page.on('console', lambda m: troubles.append(m.text) if m.type == 'error' else None)
    page.on('pageerror', lambda error: troubles.append(str(error)))
    page.route('**/*', asked)
    yield page
    page.close()
    assert elsewhere == [] and troubles == []
