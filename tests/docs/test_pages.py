"""The pages build without a warning, and hold what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'docs'))

import rooms  # noqa: E402
from registered_classes import load_package, modules, registered_classes  # noqa: E402

pytest.importorskip('mkdocs', reason='pip install -r requirements/docs.txt')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('site')
    # a proxy that nobody listens on: the pages are built without the network
    offline = dict(http_proxy='http://127.0.0.1:9', https_proxy='http://127.0.0.1:9')
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(out)],
        cwd=ROOT,
        env=dict(os.environ, NO_MKDOCS_2_WARNING='1', OMP_NUM_THREADS='1', **offline),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


def ids(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


def test_every_module_and_class_is_documented(site):
    found = set().union(*(ids(page) for page in (site / 'reference').glob('*.html')))
    package = load_package()
    assert {m.path for m in modules(package) if m.name != '__main__'} <= found
    assert {cls.path for cls in registered_classes(package)} <= found


def test_every_box_of_the_method_leads_to_its_code(site):
    links = re.findall(
        r'<a href="(reference/[^"#]+)#([^"]+)"><title>', (site / 'method.html').read_text()
    )
    assert len(links) > 20
    for page, anchor in links:
        assert anchor in ids(site / page), f'{page} has no {anchor}'


def test_what_is_made_from_the_source_is_there(site):
    config = (site / 'reference' / 'config.html').read_text()
    for cls in registered_classes(load_package()):
        assert f'id="{cls.name.lower()}"' in config
        for argument in cls.arguments:
            assert f'<code>{argument.name}</code>' in config
    for page in site.rglob('*.html'):
        left = re.search(r'<!-- (messages|options|picture).*?-->', page.read_text())
        assert left is None, f'{page.name}: {left[0]} was not filled in'
    assert '--max-frames' in (site / 'track.html').read_text()
    # no Sphinx role is left, which Markdown would show as it is
    assert not re.search(r':(class|func|meth):', (site / 'reference' / 'models.html').read_text())


def test_nothing_is_fetched_from_elsewhere(site):
    tags = r'<(?:script|img|link rel="(?:stylesheet|preconnect)")'
    fetched = re.compile(tags + r'[^>]*(?:src|href)="(https?:[^"]+)"')
    for page in site.rglob('*.html'):
        assert not fetched.findall(page.read_text()), page.name


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())
    nav = re.findall(r"'([\w/]+\.md)'", str(config['nav']))
    assert {p.relative_to(ROOT / 'docs').as_posix() for p in (ROOT / 'docs').rglob('*.md')} <= set(
        nav
    )


def test_commands_go_on_in_the_next_line_instead_of_being_cut(site):
    page = (site / 'get_started.html').read_text()
    assert 'href="style.css"' in page
    assert re.search(r'<div class="language-bash highlight">.*?<span id="__span', page, re.S)
    style = (site / 'style.css').read_text()
    assert 'white-space: pre-wrap' in style[style.index('.language-bash') :]


def test_the_inferencer_comes_first_on_its_page(site):
    page = (site / 'reference' / 'apis.html').read_text()
    names = re.findall(r'<h\d id="(mmvis_cl[\w.]+)"', page)
    assert names[:2] == ['mmvis_cl.apis.inferencer', 'mmvis_cl.apis.inferencer.VISInferencer']
    assert '<blockquote>' not in page  # what '>>>' becomes outside of code


def test_labels_of_the_pictures_fit_their_boxes(site):
    """Measured with matplotlib's font, which is wider than the usual ones of browsers."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    page = (site / 'method.html').read_text()
    for picture in re.findall(r'<div class="picture"><svg.*?</svg></div>', page, re.S):
        width = float(re.search(r'<rect [^>]*width="(\d+)"', picture)[1])
        labels = re.findall(r'<text [^>]*font-size="(\d+)">([^<]+)</text>', picture)
        assert labels
        for size, text in labels:
            font = FontProperties(family='DejaVu Sans')
            drawn = TextPath((0, 0), text, size=float(size), prop=font).get_extents().width
            assert drawn < 1.12 * width, text
            # on a page 680 pixels wide
            total = float(re.search(r'viewBox="0 0 (\d+)', picture)[1])
            assert float(size) * 680 / total > 10


def test_the_page_of_the_code_has_every_room_and_every_step(site):
    page = (site / 'code.html').read_text()
    for room in rooms.rooms():
        assert f'<code>{room}</code>' in page
    steps = re.findall(r'<td><code>([a-z_.]+)</code></td>', page.partition('id="the-way-of')[2])
    at = [
        steps.index(step)
        for step in (
            'apis.inferencer',
            'models.vis.contrastive_vis',
            'models.vis.video_session',
            'models.trackers.memory_bank_tracker',
            'ops.deformable_sums',
        )
    ]
    assert at == sorted(at) and len(steps) > 20
    assert not any('loss' in step for step in steps)
