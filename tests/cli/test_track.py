"""``mmvis-cl track`` as a newcomer meets it."""

import csv
import json
import os
import signal
import zipfile

import av
import numpy as np
import pytest
from mmdet.datasets.api_wrappers import COCO
from PIL import Image
from pycocotools import mask as mask_util

from mmvis_cl.apis import VISInferencer
from mmvis_cl.datasets import image_source
from mmvis_cl.evaluation import evaluate_tracks, load_results
from mmvis_cl.outputs import COCOVideoOutput, VideoOutput
from mmvis_cl.visualization import window as window_module

FRAMES = 5
TIMES = (0.0, 0.1, 0.2, 0.5, 0.6)


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return stream, frames


def annotations(length, results):
    """An annotation file's content in which each result is an annotated track."""
    return dict(
        videos=[dict(id=7, length=length, height=60, width=80)],
        categories=[dict(id=i, name=name) for i, name in enumerate('abc', 1)],
        annotations=[dict(track, id=i, iscrowd=0) for i, track in enumerate(results, 1)],
    )


@pytest.fixture(scope='module')
def tracked(model, video, tmp_path_factory):
    """All outputs of one run."""
    from mmvis_cl.cli import main

    out = tmp_path_factory.mktemp('tracked')
    names = dict(video='a.mp4', json='a.json', coco='coco.json', masks='masks')
    options = [part for kind, name in names.items() for part in (f'--out-{kind}', str(out / name))]
    assert main(['track', str(video), *model, *options, '--video-id', '7', '--trails']) == 0
    return out


def test_the_mp4_plays_in_browsers_and_keeps_the_times(tracked):
    stream, frames = decode(tracked / 'a.mp4')
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ('h264', 'yuv420p')
    # enlarged to a shorter side of 360, so that the labels can be read
    assert (stream.width, stream.height) == (480, 360)
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)


def test_the_json_is_what_the_metric_reads(tracked):
    results = load_results(tracked / 'a.json')
    assert len(results) > 3
    assert {result['video_id'] for result in results} == {7}
    # Results that are their own annotations are found by the metric, which checks each RLE.
    truth = annotations(FRAMES, results)
    assert evaluate_tracks(results, truth)['AR100'] == pytest.approx(1)


def test_the_json_is_the_result_of_the_python_interface(tracked, model, video):
    inferencer = VISInferencer(model[1], model[3])
    expected = inferencer(video).to_youtube_vis([1, 2, 3])
    for entry in expected:
        entry['video_id'] = 7
        entry['category'] = inferencer.classes[entry['category_id'] - 1]  # which id is which
    assert json.loads((tracked / 'a.json').read_text()) == json.loads(json.dumps(expected))


def test_the_coco_json_is_read_by_coco(tracked, model, video, capsys):
    coco = COCO(str(tracked / 'coco.json'))
    assert coco.dataset['videos'] == [
        dict(id=7, name='my walk', fps=pytest.approx(8, abs=2), length=5, height=60, width=80)
    ]
    images = coco.dataset['images']
    assert [image['frame_id'] for image in images] == list(range(FRAMES))
    assert [image['time'] for image in images] == pytest.approx(TIMES, abs=1e-3)
    inferencer = VISInferencer(model[1], model[3])
    names = {category['id']: category['name'] for category in coco.dataset['categories']}
    assert tuple(names.values()) == inferencer.classes
    for image, frame in zip(images, inferencer.stream(video, score_thr=0.3), strict=True):
        found = coco.load_anns(coco.get_ann_ids(img_ids=image['id']))
        assert [a['instance_id'] for a in found] == frame.identities.tolist()
        assert [a['track_id'] for a in found] == frame.identities.tolist()
        assert [names[a['category_id']] for a in found] == frame.classes
        assert [a['score'] for a in found] == pytest.approx(frame.scores.tolist(), abs=1e-4)
        for annotation, mask, (x1, y1, x2, y2) in zip(
            found, frame.masks, frame.bboxes, strict=True
        ):
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert annotation['area'] == mask.sum()
            assert annotation['bbox'] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.01)
    assert len(coco.anns) > FRAMES


def test_the_masks_are_in_the_png(tracked):
    """Pixels of one mask only have its value; where there is no mask there is 0."""
    content = json.loads((tracked / 'coco.json').read_text())
    order = {}
    assert sorted(os.listdir(tracked / 'masks')) == [f'{t:05d}.png' for t in range(FRAMES)]
    for t in range(FRAMES):
        with Image.open(tracked / 'masks' / f'{t:05d}.png') as image:
            assert (image.mode, image.size) == ('P', (80, 60))
            values = np.asarray(image)
        found = [a for a in content['annotations'] if a['image_id'] == t + 1]
        masks = [mask_util.decode(a['segmentation']).astype(bool) for a in found]
        covered = np.sum(masks, axis=0)
        assert np.array_equal(values == 0, covered == 0)
        for annotation, mask in zip(found, masks, strict=True):
            value = order.setdefault(annotation['track_id'], len(order) + 1)
            assert (values[mask & (covered == 1)] == value).all()


def test_without_an_output_the_video_lies_here(run, model, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run('track', video, *model, '--start', 1, '--max-frames', 2)
    assert code == 0, err
    assert os.listdir(tmp_path) == ['my_walk_tracked.mp4']
    assert len(decode('my_walk_tracked.mp4')[1]) == 2
    assert out.startswith('my walk: 2 frames, ') and 'written: my_walk_tracked.mp4' in out


def test_classes_and_score_choose_what_is_written(run, model, video, tmp_path):
    out = tmp_path / 'coco.json'
    args = ('--out-coco', out, '--out-json', tmp_path / 'a.json')
    only = ('--classes', 'triangle', 'star', '--score-thr', 0.45)
    code, _, err = run('track', video, *model, *args, *only)
    assert code == 0, err
    content = json.loads(out.read_text())
    assert {a['category_id'] for a in content['annotations']} == {2}
    assert all(a['score'] > 0.45 for a in content['annotations'])
    tracks = json.loads((tmp_path / 'a.json').read_text())
    assert tracks and all(t['category_id'] in (2, 3) and t['score'] > 0.45 for t in tracks)


def test_tta_writes_the_merged_tracks(run, model, video, tmp_path):
    args = ('--out-json', tmp_path / 'a.json', '--out-video', tmp_path / 'a.mp4', '--tta')
    code, _, err = run('track', video, *model, *args, '--max-frames', 2)
    assert code == 0, err
    expected = VISInferencer(model[1], model[3], tta=True)(video, max_frames=2)
    found = json.loads((tmp_path / 'a.json').read_text())
    assert [t['score'] for t in found] == pytest.approx([t.score for t in expected.tracks])
    assert len(decode(tmp_path / 'a.mp4')[1]) == 2


def test_settings_of_the_config_are_overridden(run, model, video, tmp_path):
    """As from Python; what is no setting is told before anything is tracked."""
    out = tmp_path / 'a.json'
    options = dict(new_thr=0.9, first_thr=0.9)
    given = [f'model.tracker.{name}={value}' for name, value in options.items()]
    long_term = 'model.tracker.long_term.type=mmvis_cl.LongTermMemory'
    code, _, err = run(
        'track', video, *model, '--out-json', out, '--cfg-options', *given, long_term
    )
    assert code == 0, err
    found = json.loads(out.read_text())
    settings = {f'model.tracker.{name}': value for name, value in options.items()}
    expected = VISInferencer(model[1], model[3], cfg_options=settings)(video)
    assert [t['score'] for t in found] == pytest.approx([t.score for t in expected.tracks])
    usual = VISInferencer(model[1], model[3])(video)
    assert len(usual.tracks) > len(expected.tracks)
    for wrong, said in (('new_thr', 'KEY=VALUE'), ('model.tracker.nothing=1', 'nothing')):
        out = tmp_path / 'b.json'
        code, _, err = run('track', video, *model, '--out-json', out, '--cfg-options', wrong)
        assert code == 2 and said in err and err.count('\n') == 1 and not out.exists()


@pytest.fixture
def folder_source(tmp_path, video):
    """The frames of the video as images."""
    folder = tmp_path / 'frames'
    folder.mkdir()
    for i, frame in enumerate(decode(video)[1]):
        frame.to_image().save(folder / f'{i}.png')
    return folder


def all_outputs(folder):
    return (
        *('--out-video', folder / 'a.mp4', '--out-json', folder / 'a.json'),
        *('--out-coco', folder / 'coco.json', '--out-masks', folder / 'masks'),
        *('--out-csv', folder / 'a.csv', '--out-mots', folder / 'a.txt'),
        *('--out-cvat', folder / 'a.zip', '--cvat-shapes', 'masks'),
        *('--out-label-studio', folder / 'ls.json', '--out-fiftyone', folder / 'fo'),
    )


def check_partial(folder, frames):
    assert len(decode(folder / 'a.mp4')[1]) == frames
    results = load_results(folder / 'a.json')
    assert results and all(len(r['segmentations']) == frames for r in results)
    for result in results:
        result['video_id'] = 7
    evaluate_tracks(results, annotations(frames, results))
    assert len(COCO(str(folder / 'coco.json')).dataset['images']) == frames
    assert len(os.listdir(folder / 'masks')) == frames
    names = 'a.csv', 'a.json', 'a.mp4', 'a.txt', 'a.zip', 'coco.json', 'fo', 'ls.json', 'masks'
    assert sorted(os.listdir(folder)) == list(names)
    shown = COCO(str(folder / 'coco.json')).dataset['annotations']
    with open(folder / 'a.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [int(row['identity']) for row in rows] == [a['track_id'] for a in shown]
    with zipfile.ZipFile(folder / 'a.zip') as archive:
        assert archive.read('annotations.xml').count(b'<mask ') == len(shown)
    (labels,) = (folder / 'fo/labels').iterdir()
    assert len(json.loads(labels.read_text())['frames']) == frames


def test_ctrl_c_leaves_finished_outputs(run, model, folder_source, tmp_path, monkeypatch):
    """From the source, in the middle of the second pass through the network."""
    read_image = image_source.read_image

    def interrupted(path):
        if path.name == '3.png':
            raise KeyboardInterrupt
        return read_image(path)

    monkeypatch.setattr(image_source, 'read_image', interrupted)
    out = tmp_path / 'out'
    code, _, err = run('track', folder_source, *model, *all_outputs(out))
    assert code == 130
    done = int(err.split('interrupted after ')[1].split()[0])
    assert done == 2 and err.count('\n') == 1
    check_partial(out, done)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_a_frame_is_written_waits_for_it(
    run, model, video, tmp_path, monkeypatch, number
):
    write = COCOVideoOutput._write

    def interrupted(self, frame):
        if frame.index == 2:
            os.kill(os.getpid(), number)
        write(self, frame)

    monkeypatch.setattr(COCOVideoOutput, '_write', interrupted)
    out = tmp_path / 'out'
    code, _, err = run('track', video, *model, *all_outputs(out))
    assert code == 128 + number
    assert err.startswith('interrupted after 3 frames; what was done is in ')
    check_partial(out, 3)


def test_ctrl_c_before_the_first_frame_leaves_nothing(run, model, video, tmp_path, monkeypatch):
    def interrupted(self, batches, ahead):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmvis_cl.apis.TrackingSession._track', interrupted)
    (tmp_path / 'a.mp4').write_bytes(b'old')
    code, _, err = run('track', video, *model, '--out-video', tmp_path / 'a.mp4')
    assert (code, err) == (130, 'interrupted after 0 frames; nothing was written\n')
    assert (tmp_path / 'a.mp4').read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.mp4']


def test_a_broken_frame_keeps_those_before(run, model, folder_source, tmp_path):
    (folder_source / '4.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    code, _, err = run('track', folder_source, *model, *all_outputs(out))
    assert code == 2 and err.count('\n') == 1 and err.startswith('error: ')
    assert '4.png: the image cannot be decoded' in err
    assert f'(the 4 frames before are in {out}/a.mp4, ' in err
    check_partial(out, 4)


def test_a_full_disk_is_one_line_and_the_other_outputs_are_finished(
    run, model, video, tmp_path, monkeypatch
):
    write = VideoOutput._write

    def full(self, frame):
        write(self, frame)
        if frame.index == 2:
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(VideoOutput, '_write', full)
    video_path, coco = tmp_path / 'a.mp4', tmp_path / 'coco.json'
    code, _, err = run('track', video, *model, '--out-coco', coco, '--out-video', video_path)
    assert code == 2 and err.count('\n') == 1
    assert err.startswith(f'error: {video_path}: the disk is full; free some space')
    assert os.listdir(tmp_path) == ['coco.json']
    assert len(json.loads(coco.read_text())['images']) >= 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out-video', '{}/a.avi'], '--out-video {}/a.avi: the name of this output must end in'),
        (['--out-json', '{}/a.txt'], 'must end in .json'),
        (['--out-json', '{}/a.json', '--out-coco', '{}/a.json'], 'is --out-json too'),
        (['--out-video', '{}/file/a.mp4'], '--out-video {}/file: cannot be written (File exists'),
        (['--out-masks', '{}'], '--out-masks {}: is not empty'),
        (['--out-masks', '{}/file'], 'is a file; give the name of a folder'),
        (['--trails', '-1'], '--trails -1'),
        (['--score-thr', '30'], '--score-thr 30.0: must be from 0 to below 1'),
        (['--start', '-1'], '--start -1'),
    ],
)
def test_bad_arguments_are_refused_before_the_model_is_loaded(
    run, video, tmp_path, arguments, message
):
    (tmp_path / 'file').write_text('')
    arguments = [argument.format(tmp_path) for argument in arguments]
    none = ('--config', 'none', '--weights', 'none.pth')
    code, out, err = run('track', video, *none, *arguments)
    assert (code, out) == (2, '') and err.count('\n') == 1
    assert err.startswith('error: ') and message.format(tmp_path) in err


def test_the_source_is_never_overwritten(run, video):
    before = video.read_bytes()
    code, _, err = run('track', video, '--config', 'a', '--weights', 'b', '--out-video', video)
    assert code == 2 and 'is SOURCE too' in err
    assert video.read_bytes() == before


def test_wrong_names_are_one_line(run, model, video, tmp_path):
    out = ('--out-json', tmp_path / 'a.json')
    for arguments, message in (
        ([tmp_path / 'none.mp4', *model], 'there is no such file or folder'),
        ([video, '--config', 'r50_ytvis2', *model[2:]], 'near it are r50_ytvis2'),
        ([video, *model[:3], tmp_path / 'none.pth'], 'there is no such checkpoint'),
        ([video, *model, '--classes', 'stars'], "did you mean 'star'?"),
        ([video, *model, '--device', 'gpu'], "device 'gpu' cannot be used"),
    ):
        code, _, err = run('track', *arguments, *out)
        assert code == 2 and err.startswith('error: ') and err.count('\n') == 1
        assert message in err
    assert os.listdir(tmp_path) == []


class FakeScreen:
    """OpenCV's windows where there is none."""

    def __init__(self, monkeypatch, keys):
        self.shown, self.keys = [], list(keys)
        monkeypatch.setenv('DISPLAY', ':0')
        for name in ('namedWindow', 'resizeWindow', 'imshow', 'destroyWindow', 'waitKey'):
            monkeypatch.setattr(window_module.cv2, name, getattr(self, name))
        monkeypatch.setattr(window_module.cv2, 'getWindowProperty', lambda *_: 1)

    def namedWindow(self, title, flags):  # noqa: N802
        self.open = title

    def resizeWindow(self, title, width, height):  # noqa: N802
        self.size = width, height

    def imshow(self, title, image):
        self.shown.append(image)

    def waitKey(self, delay):  # noqa: N802
        return self.keys.pop(0)

    def destroyWindow(self, title):  # noqa: N802
        self.open = None


def test_q_ends_the_show_and_finishes_the_outputs(run, model, video, tmp_path, monkeypatch):
    screen = FakeScreen(monkeypatch, [-1, -1, ord('q')])
    out = tmp_path / 'a.mp4'
    code, _, err = run('track', video, *model, '--show', '--out-video', out)
    assert code == 0, err
    assert len(screen.shown) == len(decode(out)[1]) == 3
    assert screen.size == (480, 360) and screen.open is None
    # the window shows what is in the video, and OpenCV wants blue first
    shown = screen.shown[0][..., ::-1].astype(int)
    assert np.abs(shown - decode(out)[1][0].to_ndarray(format='rgb24')).mean() < 12


def test_no_screen_is_one_line(run, model, video, monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    code, _, err = run('track', video, *model, '--show')
    assert code == 2 and err.startswith('error: --show: there is no screen')
