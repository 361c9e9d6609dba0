"""Names of folders."""

import pytest

from mmvis_cl.many.video import LONGEST_NAME, Video, folder_name


@pytest.mark.parametrize('id', ['a.mp4', 'Höhle-3_b.mov', '0001', 'a=1+2@x'])
def test_plain_ids_are_names(id):
    assert folder_name(id) == id


def test_other_ids_get_names_of_their_own():
    ids = ['a/b.mp4', 'a_b.mp4', 'a b.mp4', 'a\\b.mp4', '.a', '..', '', 'x' * 300, 'x' * 301]
    ids += ['ä' * 200, '漢' * 100, 'http://h/a.mp4?x=1', 'a\nb']
    names = [folder_name(id) for id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert len(name.encode()) <= LONGEST_NAME and not name.startswith('.')
        assert not set(name) & set('/\\ \n:?*')


def test_frames():
    def frames(start, most, length):
        return Video('a', 'a', 'a', start, most, None, None, length).frames

    assert frames(0, None, None) is None
    assert frames(0, 5, None) == 5
    assert frames(2, None, 10) == 8 and frames(2, 5, 10) == 5 and frames(8, 5, 10) == 2
    assert frames(20, None, 10) == 0
