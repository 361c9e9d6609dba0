import re
from pathlib import Path

import pytest

from mmvis_cl import limits
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.errors import InputError

PAGE = Path(__file__).parents[1] / 'docs' / 'troubleshooting.md'


def test_every_limit_is_on_the_page_with_its_default():
    rows = re.findall(r'^\| `MMVIS_CL_(MAX_\w+)` \| (\d+) \|', PAGE.read_text(), re.MULTILINE)
    assert {name: int(value) for name, value in rows} == {
        name: getattr(limits, name) for name in limits.names()
    }


def test_an_environment_variable_raises_a_limit(monkeypatch):
    assert limits.MAX_FRAME_PIXELS == 16384**2
    monkeypatch.setenv('MMVIS_CL_MAX_FRAME_PIXELS', '300000000')
    assert limits.MAX_FRAME_PIXELS == 300_000_000
    monkeypatch.setenv('MMVIS_CL_MAX_FRAME_PIXELS', '9' * 18)
    assert limits.MAX_FRAME_PIXELS == 2**29 - 1  # pycocotools' end
    zigzag = [[-700, 0, 700, 60] * 2000]
    with pytest.raises(InputError, match='or raise MMVIS_CL_MAX_OUTLINE_PIXELS'):
        to_rle(zigzag, 60, 80, 'x')
    monkeypatch.setenv('MMVIS_CL_MAX_OUTLINE_PIXELS', '10000000')
    assert to_rle(zigzag, 60, 80, 'x')['size'] == [60, 80]


@pytest.mark.parametrize('value', ['', '0', '-5', '1e9', '²', 'many', '9' * 19, '9' * 5000])
def test_a_wrong_variable_gets_one_line(monkeypatch, value):
    monkeypatch.setenv('MMVIS_CL_MAX_JSON_BYTES', value)
    with pytest.raises(InputError, match=r'MMVIS_CL_MAX_JSON_BYTES=.*is no whole number') as error:
        _ = limits.MAX_JSON_BYTES
    assert len(str(error.value)) < 250


def test_no_other_limit_is_made_up():
    with pytest.raises(AttributeError, match='MAX_SUNSHINE'):
        _ = limits.MAX_SUNSHINE
