"""Pages of results: what is in them, that they stand alone, and that texts stay texts."""

import json
import re

import pytest
from report_data import EVIL, LENGTH

from mmvis_cl.cli import main
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks
from mmvis_cl.report.page import json_in_html
from mmvis_cl.report.write import write_report


def content_of(path):
    text = path.read_text(encoding='utf-8')
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return text, json.loads(found)


def test_one_file_with_all(data):
    out = data / 'report.html'
    results = dict(good=str(data / 'good.json'), bad=str(data / 'bad.json'))
    gt = str(data / 'gt.json')
    assert write_report(results, gt, out, images=data / 'images') == [out]
    _, content = content_of(out)
    for of_result, path in zip(content['results'], results.values(), strict=True):
        expected = evaluate_tracks(path, gt)
        assert of_result['scores'] == {k: v for k, v in expected.items() if isinstance(v, float)}
    first = content['videos'][0]
    assert [of['name'] for of in first['sets']] == ['ground truth', 'good', 'bad']
    truth, good, bad = first['sets']
    worst = next(of for of in content['videos'] if of['id'] == 1)
    assert [of['switches'] for of in worst['sets']] == [[], [], [[2, 0, 0, 2], [4, 0, 2, 3]]]
    assert all(not of['misses'] for of in worst['sets'])
    assert [who['colour'] for who in good['identities']] == [
        w['colour'] for w in truth['identities']
    ]
    assert len(bad['identities']) == (4 if first['id'] == 1 else 2)
    frames = first['frames']
    assert len(frames) == LENGTH and all(f.startswith('data:image/jpeg;base64,') for f in frames)


def test_the_worst_video_comes_first(data):
    write_report(dict(bad=str(data / 'bad.json')), str(data / 'gt.json'), data / 'a.html')
    _, content = content_of(data / 'a.html')
    assert [of['id'] for of in content['videos']] == [1, 2]
    assert content['list'][0]['loss'] > content['list'][1]['loss'] == 0
    assert content['videos'][0]['frames'] is None


def test_a_folder_with_a_page_for_each_video(data):
    """The index is there first; the same bytes again."""
    told = []
    args = dict(bad=str(data / 'bad.json')), str(data / 'gt.json')
    files = write_report(*args, data / 'one', images=data / 'images', tell=told.append)
    assert [path.name for path in files] == ['index.html', 'video_0001.html', 'video_0002.html']
    assert told == [f'written: {path}' for path in files]
    write_report(*args, data / 'two', images=data / 'images')
    for path in files:
        assert path.read_bytes() == (data / 'two' / path.name).read_bytes()
    _, index = content_of(files[0])
    assert [entry['link'] for entry in index['list']] == [path.name for path in files[1:]]
    assert index['videos'] == [] and len(index['results']) == 1
    assert len(content_of(files[2])[1]['videos']) == 1


def test_results_alone(data):
    write_report(dict(bad=str(data / 'bad.json')), None, data / 'a.html', score_thr=0.6)
    _, content = content_of(data / 'a.html')
    assert content['results'] == [] and [of['id'] for of in content['videos']] == [1, 2]
    assert [len(of['sets'][0]['identities']) for of in content['videos']] == [2, 2]


def test_texts_stay_texts_and_nothing_is_fetched(data):
    write_report({EVIL: str(data / 'good.json')}, str(data / 'gt.json'), data / 'a.html')
    text, content = content_of(data / 'a.html')
    assert content['results'][0]['name'] == EVIL
    assert EVIL in content['videos'][0]['sets'][0]['identities'][0]['classes']
    assert text.count('<script') == 2 and '<img' not in text and 'onerror="' not in text
    assert "default-src 'none'" in text and 'http://' not in text and 'https://' not in text
    assert not re.search(r'innerHTML|insertAdjacent|document\.write|eval\(', text)
    assert json.loads(json_in_html(dict(a=EVIL))) == dict(a=EVIL)


def test_a_file_that_would_be_too_large(data, monkeypatch):
    monkeypatch.setattr('mmvis_cl.report.write.MOST_BYTES', 100)
    args = dict(good=str(data / 'good.json')), str(data / 'gt.json'), data / 'a.html'
    with pytest.raises(InputError, match='give a folder, a smaller --height, or --videos N'):
        write_report(*args, images=data / 'images')
    assert not (data / 'a.html').exists()


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['gone.json', '--out', 'a.html'], 'gone.json: no such file'),
        (['good.json', 'good.json', '--out', 'a.html'], 'needs a name of its own'),
        (['good.json', '--images', 'images', '--out', 'a.html'], 'give --annotations as well'),
        (['good.json', '--annotations', 'gone', '--out', 'a.html'], '--annotations gone'),
        (['good.json', '--out', 'images'], 'is not empty'),
        (['good.json', '--out', 'a.html', '--height', '5'], '--height 5'),
        (['good.json', '--out', 'a.html', '--videos', '0'], '--videos 0'),
        (['good.json', '--out', 'a.html', '--score-thr', '2'], '--score-thr 2'),
        (['gt.json', '--out', 'a.html'], 'gt.json'),
    ],
)
def test_what_does_not_do_is_a_line(data, monkeypatch, capsys, words, said):
    monkeypatch.chdir(data)
    with pytest.raises(SystemExit) as caught:
        main(['report', *words])
    err = capsys.readouterr().err
    assert caught.value.code == 2 and said in err and err.count('\n') == 1, err
    assert not (data / 'a.html').exists()
