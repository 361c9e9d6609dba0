"""Every message of an InputError is on the page, with what to do about it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'docs'))

import error_messages  # noqa: E402
from error_messages import message_table, messages, written_cures  # noqa: E402


def test_every_message_has_a_cure():
    without = [f'{m.file}:{m.line}: {m.text}' for m in messages() if not m.cure]
    assert not without, (
        'end the message with "; what to do", or add a part of it and a cure to '
        'tools/docs/cures.yml:\n' + '\n'.join(without)
    )


def test_every_file_with_messages_is_on_the_page():
    page = (ROOT / 'docs' / 'troubleshooting.md').read_text()
    folders = [
        folder
        for line in page.splitlines()
        if line.startswith('<!-- messages: ')
        for folder in line.removeprefix('<!-- messages: ').removesuffix(' -->').split()
    ]
    assert all((ROOT / folder).exists() for folder in folders)
    table = message_table(folders)
    for message in messages():
        assert any(message.file == f or message.file.startswith(f + '/') for f in folders), (
            f'{message.file}: add it to a "messages" line of docs/troubleshooting.md'
        )
    assert table.count('\n') > 150


def test_no_written_cure_is_left_over():
    texts = [message.text for message in messages()]
    unused = [part for part in written_cures() if not any(part in text for text in texts)]
    assert not unused, f'{unused}: in tools/docs/cures.yml, but in no message; remove them'


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Writes a module and gives the texts of its messages."""
    (tmp_path / 'mmvis_cl').mkdir()
    monkeypatch.setattr(error_messages, 'ROOT', tmp_path)

    def texts(code):
        (tmp_path / 'mmvis_cl' / 'module.py').write_text(code)
        messages.cache_clear()
        return [(m.line, m.text, m.cure) for m in messages()]

    yield texts
    messages.cache_clear()


def test_values_become_gaps(source):
    code = "raise InputError(f'{path}: has {n} frames; ' 'give more')\n"
    assert source(code) == [(1, '…: has … frames; give more', 'give more')]


def test_both_branches_of_a_choice_are_messages(source):
    code = "x = 1\nraise InputError(f'{a}: ' + ('not there at all' if b else 'cut off; copy it'))\n"
    assert [text for _, text, _ in source(code)] == ['…: cut off; copy it', '…: not there at all']


def test_what_only_passes_a_message_on_is_none(source):
    assert source("raise InputError(f'{path}: {error}') from error\n") == []
    assert source("raise InputError(f'video {number}: {error}') from error\n") == []


def test_a_message_without_a_cure_is_found(source):
    ((_, _, cure),) = source("raise InputError('the moon is in the wrong quarter')\n")
    assert cure == ''
