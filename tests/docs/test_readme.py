"""The README is a page, in the order in which a newcomer asks, and leads somewhere."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / 'README.md').read_text()
OUTSIDE_OF_CODE = re.sub(r'```.*?```', '', README, flags=re.DOTALL)
LINKS = sorted(set(re.findall(r'\]\(((?!https?:)[^)\s]+)\)', OUTSIDE_OF_CODE)))


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and mkdocs write them."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', text).strip().lower().replace(' ', '-') for text in headings}


def test_it_is_a_page():
    assert len(README.splitlines()) <= 150


def test_what_is_asked_first_stands_first():
    asked = (
        *('docs/tracked_video', 'pip install', 'mmvis-cl track', 'VISInferencer('),
        *('tools/train.py configs/vis_cl/swin-l_ytvis22.py', 'tools/test.py'),
        *("type='mmvis_cl.", '| Swin-L |', 'make demo   #', 'make test', 'mmvis_cl/models/'),
        'CONTRIBUTING.md',
    )
    places = [README.find(text) for text in asked]
    assert -1 not in places, asked[places.index(-1)]
    for (text, place), (later, its_place) in pairwise(zip(asked, places, strict=True)):
        assert place < its_place, f'{later} stands before {text}'


def test_the_picture_moves_and_loads_at_once():
    path = ROOT / 'docs' / 'tracked_video.webp'
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as picture:
        assert 400 < picture.width < 600
        milliseconds = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            picture.load()
            milliseconds += picture.info['duration']
    assert 3000 <= milliseconds <= 4000


@pytest.mark.parametrize('link', LINKS)
def test_a_link_leads_somewhere(link):
    path, _, anchor = link.partition('#')
    assert (ROOT / path).is_file()
    assert not anchor or anchor in anchors(ROOT / path)


def test_the_map_names_what_is_there():
    (code,) = (block for block in README.split('```') if 'mmvis_cl/models/' in block)
    named = [line.split()[0] for line in code.strip().splitlines()]
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]
