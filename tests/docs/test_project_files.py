"""Citation, changes, templates and requirements of the documentation."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from mmvis_cl.version import __version__

ROOT = Path(__file__).parents[2]


def released():
    """The versions that were released, the newest first."""
    changes = (ROOT / 'CHANGELOG.md').read_text()
    return re.findall(r'^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$', changes, re.MULTILINE)


def test_citation_names_the_paper_and_the_report():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    # what the Citation File Format 1.2.0 asks for
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    assert citation['cff-version'] == '1.2.0'
    assert citation['version'] == released()[0]
    paper, (report,) = citation['preferred-citation'], citation['references']
    for source in (paper, report):
        assert {'type', 'title', 'authors'} <= set(source)
    assert paper['title'] == 'In Defense of Online Models for Video Instance Segmentation'
    assert [author['family-names'] for author in paper['authors']] == [
        *('Wu', 'Liu', 'Jiang', 'Bai', 'Yuille', 'Bai')
    ]
    assert report['title'].startswith('1st Place Solution for YouTubeVOS Challenge 2022')


def test_changes_begin_with_this_version():
    version = Version(__version__)
    if version.is_devrelease:  # on the way to the next release
        assert '## [Unreleased]' in (ROOT / 'CHANGELOG.md').read_text()
        assert Version(released()[0]) < version
    else:
        assert released()[0] == __version__


@pytest.mark.parametrize('path', sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('*.yml')))
def test_issue_forms_are_ones_that_github_takes(path):
    form = yaml.safe_load(path.read_text())
    if path.name == 'config.yml':
        assert set(form) <= {'blank_issues_enabled', 'contact_links'}
        return
    assert form['name']
    assert form['description']
    inputs = [part for part in form['body'] if part['type'] != 'markdown']
    assert inputs
    assert len({part['id'] for part in inputs}) == len(inputs)
    for part in form['body']:
        assert part['type'] in ('markdown', 'textarea', 'input', 'dropdown', 'checkboxes')
        assert part['attributes'].get('value' if part['type'] == 'markdown' else 'label')


def test_what_builds_the_pages_is_installed_for_the_tests():
    docs, dev = (
        {
            line
            for line in (ROOT / 'requirements' / name).read_text().splitlines()
            if line[:1] != '#'
        }
        for name in ('docs.txt', 'dev.txt')
    )
    assert docs <= dev


PAGES = sorted({*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('projects/**/*.md')})
PAGES += [ROOT / 'mmvis_cl' / 'fast' / 'README.md']


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
    """As `ops/kernel_cache.py`; the changes speak of files that are gone."""
    if page.name == 'CHANGELOG.md':
        return
    named = re.findall(r'`([a-z_]+/[\w/.-]+\.(?:py|sh|yml))`', page.read_text())
    gone = [
        name
        for name in named
        if not any((folder / name).exists() for folder in (ROOT, ROOT / 'mmvis_cl', page.parent))
        and not name.startswith(('path/', 'work_dirs/', 'data/'))
    ]
    assert not gone, gone
