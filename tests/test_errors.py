import errno

import pytest

from mmvis_cl.errors import (
    LONGEST_MESSAGE,
    InputError,
    cannot_write,
    one_line_errors,
    quoted,
    shortened,
)


def test_a_text_and_a_number_look_different_in_quotes():
    assert quoted([96, 160]) == '[96, 160]'
    assert quoted(['96', '160']) == "['96', '160']"
    assert quoted('[96, 160]') == "'[96, 160]'"
    assert quoted(None) == 'None'


@pytest.mark.parametrize(
    'value',
    [
        'x' * 3000,
        list(range(10**6)),
        {str(i): i for i in range(10**5)},
        [[['y' * 999] * 9] * 9] * 9,
    ],
)
def test_a_long_value_is_quoted_in_few_characters(value):
    text = quoted(value)
    assert 8 < len(text) <= 80
    assert '...' in text and '\n' not in text
    assert text[0] == repr(value)[0] and text[-1] == repr(value)[-1]


def test_of_a_long_text_both_ends_are_kept():
    text = 'begin\n' + 'x ' * 5000 + '\n end'
    short = shortened(text, 50)
    assert len(short) == 50
    assert short.startswith('begin x') and short.endswith('x end') and ' ... ' in short
    assert shortened('a\n  b') == 'a b'


def test_a_message_that_quotes_a_whole_file_is_cut_in_its_middle(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise InputError(f'a.json: {"x" * 30_000} is no number; mend the file')
    err = capsys.readouterr().err
    assert len(err) == len('error: ') + LONGEST_MESSAGE + 1
    assert err.startswith('error: a.json: xxx') and err.endswith('x is no number; mend the file\n')


def test_what_the_system_says_has_a_cure():
    for number, words in (
        (errno.ENOSPC, 'the disk is full; free some space or write elsewhere'),
        (errno.EDQUOT, 'the disk is full; free some space or write elsewhere'),
        (
            errno.ENAMETOOLONG,
            'the name of the file is too long for the file system; give a shorter',
        ),
        (errno.EACCES, 'cannot be written (Permission denied)'),
    ):
        error = cannot_write('a.mp4', OSError(number, 'Permission denied'))
        assert str(error).startswith(f'a.mp4: {words}')
