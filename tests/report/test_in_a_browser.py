"""What a person does on a page, in a browser: headless Chromium, where there is one."""

import shutil

import pytest
from report_data import LENGTH, SIZE

from mmvis_cl.report.write import write_report

playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium')


@pytest.fixture(scope='module')
def chromium():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield opened
        opened.close()


def wait_until(page, condition):
    """As the page's policy allows: it evaluates no texts itself."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


@pytest.fixture
def report(chromium, data):
    """A report of two results, opened; no error is told and nothing is asked for."""
    results = dict(good=str(data / 'good.json'), bad=str(data / 'bad.json'))
    write_report(results, str(data / 'gt.json'), data / 'a.html', images=data / 'images')
    opened = chromium.new_page(viewport=dict(width=1200, height=800), color_scheme='light')
    troubles, asked = [], []
    opened.on('console', lambda m: troubles.append(m.text) if m.type == 'error' else None)
    opened.on('pageerror', lambda error: troubles.append(str(error)))
    opened.on('request', lambda request: asked.append(request.url))
    opened.goto((data / 'a.html').as_uri())
    opened.wait_for_selector('canvas.frame')
    wait_until(opened, 'images.every((image) => image.complete)')
    opened.evaluate('draw()')
    yield opened
    assert troubles == []
    assert [url for url in asked if not url.startswith(('file:', 'data:'))] == []
    opened.close()


def pixel(page, which, x, y):
    """Of a canvas, in the video's pixels."""
    return page.evaluate(
        """([which, x, y, w]) => { const canvas = document.querySelectorAll('canvas.frame')[which];
        const scale = canvas.width / w;
        return [...canvas.getContext('2d').getImageData(x * scale, y * scale, 1, 1).data]; }""",
        [which, x + 0.5, y + 0.5, SIZE[1]],
    )


def coloured(rgba):
    return max(rgba[:3]) - min(rgba[:3]) > 25


def test_masks_are_where_they_are(report):
    """In each frame and set, and only there."""
    page = report
    assert page.locator('canvas.frame').count() == 3
    for t in range(LENGTH):
        for which in range(3):
            assert coloured(pixel(page, which, 2 + 4 * t + 4, 5)), (t, which)
            assert not coloured(pixel(page, which, 38, 12)), (t, which)
        assert page.locator('#where').inner_text() == f'{t + 1} / {LENGTH}'
        page.keyboard.press('ArrowRight')
    assert page.locator('#where').inner_text() == f'{LENGTH} / {LENGTH}'  # it stays at the end


def test_an_identity_a_class_and_a_score_are_switched_off(report):
    page = report
    inside = 1, 5, 5  # the first object, in the good result
    page.locator('figure').nth(1).locator('input[type=checkbox]').first.uncheck()
    assert not coloured(pixel(page, *inside)) and coloured(pixel(page, 0, 5, 5))
    page.locator('figure').nth(1).locator('input[type=checkbox]').first.check()
    assert coloured(pixel(page, *inside))
    page.locator('#kind').select_option('dog')
    assert not coloured(pixel(page, *inside)) and coloured(pixel(page, 1, 5, 17))
    page.locator('#kind').select_option('')
    page.locator('#score').fill('0.85')
    assert coloured(pixel(page, *inside)) and not coloured(pixel(page, 1, 5, 17))
    assert coloured(pixel(page, 0, 5, 17))  # annotations have no score


def test_a_click_on_the_time_line_jumps(report):
    page = report
    line = page.locator('canvas.time').nth(2)
    box = line.bounding_box()
    line.click(position=dict(x=box['width'] * 3.5 / LENGTH, y=3))
    assert page.locator('#where').inner_text() == f'4 / {LENGTH}'
    assert '2 switches, 0 misses' in page.locator('figcaption').nth(2).inner_text()


def test_playing_the_next_video_and_the_dark(report):
    page = report
    page.keyboard.press(' ')
    wait_until(page, "document.getElementById('frame').value !== '0'")
    page.keyboard.press(' ')
    assert page.locator('#play').inner_text() == 'Play'
    page.keyboard.press(']')
    assert page.locator('nav [aria-current=true]').inner_text().startswith('v2')
    page.locator('nav button').first.click()
    assert page.locator('#video h2').inner_text() == 'v1'
    before = page.evaluate('getComputedStyle(document.body).backgroundColor')
    page.locator('#theme').click()
    assert page.evaluate('getComputedStyle(document.body).backgroundColor') != before


def test_a_folder_is_gone_through(chromium, data):
    write_report(dict(bad=str(data / 'bad.json')), str(data / 'gt.json'), data / 'pages')
    opened = chromium.new_page()
    opened.goto((data / 'pages' / 'index.html').as_uri())
    assert 'association' in opened.locator('#scores').inner_text()
    opened.locator('nav a').nth(1).click()
    assert opened.locator('#video h2').inner_text() == 'v2'
    opened.get_by_text('all videos').click()
    assert opened.url.endswith('index.html')
    opened.close()
