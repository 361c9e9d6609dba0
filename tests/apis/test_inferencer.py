"""From a source to tracks, with a small network to which everything is an object."""

import json
import runpy
import weakref
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from PIL import Image
from release_fixtures import build, load, video_batch
from small_model import small_model
from small_videos import write_video
from synth_weights import release_state_dict

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.errors import InputError

ROOT = Path(__file__).parents[2]
CONFIG = 'small_moving-shapes'
CONFIG_FILE = ROOT / 'configs' / 'vis_cl' / f'{CONFIG}.py'
CLASSES = ('disk', 'triangle', 'star')
SIZES = [(224, 112), (224, 96)]


def random_weights():
    return small_model(confident=True).state_dict()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Two videos of moving shapes and a checkpoint as training saves it."""
    root = tmp_path_factory.mktemp('data')
    make_moving_shapes(root / 'shapes', train_videos=1, valid_videos=2, length=3)
    content = dict(
        state_dict=random_weights(),
        meta=dict(dataset_meta=dict(classes=CLASSES)),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
    )
    torch.save(content, root / 'model.pth')
    return root


@pytest.fixture(scope='module')
def videos(data):
    """The folders of the held-out videos."""
    annotations = json.loads((data / 'shapes' / 'valid.json').read_text())
    return [
        data / 'shapes' / 'JPEGImages' / Path(video['file_names'][0]).parent
        for video in annotations['videos']
    ]


@pytest.fixture(scope='module')
def inferencer(data):
    return VISInferencer(CONFIG, data / 'model.pth', 'cpu')


@pytest.fixture(scope='module')
def multi_scale(data):
    options = {'tta.scales': SIZES}
    return VISInferencer(CONFIG, data / 'model.pth', 'cpu', tta=True, cfg_options=options)


def run_test_tool(data, out, *args, options=()):
    """The results that tools/test.py writes."""
    argv = ['test.py', CONFIG_FILE, data / 'model.pth', '--work-dir', out.parent / 'work']
    argv += ['--out', out, *args, '--cfg-options']
    argv += [f'test_dataloader.dataset.data_root={data}/shapes/', *options]
    argv += [f'test_evaluator.ann_file={data}/shapes/valid.json', 'test_dataloader.num_workers=0']
    argv += ['test_dataloader.persistent_workers=False']
    with pytest.MonkeyPatch.context() as patch:
        # mmengine lays out the whole config prettily four times, which takes longer than the test
        patch.setattr(Config, 'pretty_text', property(lambda cfg: repr(cfg)))
        patch.setattr('sys.argv', [str(arg) for arg in argv])
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    return json.loads(out.read_text())


def entries(results):
    """Entries as in a file of results, of videos 1, 2, ..."""
    for i, result in enumerate(results, start=1):
        result.video_id = i
    return [entry for result in results for entry in result.to_youtube_vis([1, 2, 3])]


@pytest.mark.parametrize('tta', [False, True])
def test_results_are_those_of_the_test_tool(data, videos, inferencer, multi_scale, tmp_path, tta):
    options = [f'tta.scales={SIZES}'.replace(' ', '')]
    expected = run_test_tool(
        data, tmp_path / 'results.json', *(['--tta'] if tta else []), options=options
    )
    api = multi_scale if tta else inferencer
    results = [api(folder) for folder in videos]
    assert [result.video_id for result in results] == [folder.name for folder in videos]
    assert [result.length for result in results] == [3, 3]
    assert len(expected) > 10
    assert json.loads(json.dumps(entries(results))) == expected


def same_frames(a, b):
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert (x.index, x.time, x.classes, x.rles) == (y.index, y.time, y.classes, y.rles)
        for key in ('image', 'identities', 'labels', 'scores', 'bboxes'):
            np.testing.assert_array_equal(getattr(x, key), getattr(y, key))


def test_frames_are_what_the_result_is_made_of(inferencer, videos):
    reached = []
    found = []
    for frame in inferencer.stream(videos[0], progress=reached.append):
        found.append(frame)
        assert inferencer.result.length == len(found)  # nothing waits for later frames
    assert reached == [1, 2, 3]
    source = list(open_source(videos[0]))
    assert [frame.index for frame in found] == [0, 1, 2]
    for frame, image in zip(found, source, strict=True):
        np.testing.assert_array_equal(frame.image, image.image)
        assert len(frame) == len(set(frame.identities.tolist())) > 2
        assert frame.classes == [CLASSES[label] for label in frame.labels]
        h, w = image.image.shape[:2]
        assert frame.bboxes.shape == (len(frame), 4)
        assert frame.bboxes.min() >= 0 and (frame.bboxes <= [w, h, w, h]).all()
        tracks = {(t.identity, t.label): t for t in inferencer.result.tracks}
        for i in range(len(frame)):
            track = tracks[int(frame.identities[i]), int(frame.labels[i])]
            assert track.segmentations[frame.index] == frame.rles[i]
            np.testing.assert_allclose(track.bboxes[frame.index], frame.bboxes[i], rtol=1e-6)
            if frame.index == 2:  # the mean over the whole video
                assert track.score == pytest.approx(float(frame.scores[i]), rel=1e-6)


def test_frames_at_once_change_nothing_but_rounding(data, inferencer, videos):
    at_once = VISInferencer(CONFIG, data / 'model.pth', 'cpu', frames_per_pass=2)
    reached = []
    a = list(inferencer.stream(videos[0]))
    b = list(at_once.stream(videos[0], progress=reached.append))
    assert reached == [2, 3]
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.identities, y.identities)
        np.testing.assert_allclose(x.scores, y.scores, atol=1e-5)
        np.testing.assert_allclose(x.bboxes, y.bboxes, atol=1e-3)
        overlap = mask_util.iou(x.rles, y.rles, [0] * len(y)).diagonal()
        assert overlap[mask_util.area(y.rles) > 0].min() > 0.99


def test_every_kind_of_source_gives_the_same(inferencer, videos):
    expected = list(inferencer.stream(videos[0]))
    images = [np.asarray(Image.open(path)) for path in sorted(videos[0].iterdir())]
    same_frames(list(inferencer.stream(images)), expected)
    same_frames(list(inferencer.stream(iter(images))), expected)
    same_frames(list(inferencer.stream(f'{videos[0]}/*.jpg')), expected)
    with open_source(videos[0]) as source:
        same_frames(list(inferencer.stream(source)), expected)
        with pytest.raises(ValueError, match='go to open_source'):
            inferencer.stream(source, start=1)
    session = inferencer.session()
    pushed = session.push(images[:1]) + session.push([]) + session.push(tuple(images[1:]))
    for x, y in zip(pushed, expected, strict=True):
        np.testing.assert_array_equal(x.identities, y.identities)
        assert x.time == pytest.approx(y.time)


def test_two_videos_at_once_share_the_model(inferencer, videos):
    alone = [list(inferencer.stream(folder)) for folder in videos]
    assert any(len(x) != len(y) for x, y in zip(*alone, strict=True))  # they differ
    together = list(zip(*(inferencer.stream(folder) for folder in videos), strict=True))
    for i in range(2):
        same_frames([pair[i] for pair in together], alone[i])
    sessions = [inferencer.session(name=name) for name in 'ab']
    for _ in zip(*(s.stream(v) for s, v in zip(sessions, videos, strict=True)), strict=True):
        pass
    assert [s.result.video_id for s in sessions] == ['a', 'b']
    assert entries(s.result for s in sessions) == entries(inferencer(v) for v in videos)


def test_start_and_max_frames(inferencer, videos):
    frames = list(inferencer.stream(videos[0], start=1, max_frames=2))
    assert [frame.index for frame in frames] == [1, 2]
    assert inferencer.result.length == 2
    images = [np.asarray(Image.open(path)) for path in sorted(videos[0].iterdir())]
    same = list(inferencer.stream(images[1:3]))
    assert [frame.rles for frame in frames] == [frame.rles for frame in same]


def test_reset_forgets(inferencer, videos):
    images = [np.asarray(Image.open(path)) for path in sorted(videos[0].iterdir())]
    session = inferencer.session()
    assert session.result is None and session.length == 0
    first = session.push(images[:1])
    session.push(images[1:2])
    session.reset()
    assert session.result is None and session.length == 0
    same_frames(session.push(images[:1]), first)
    small = images[0][:40]
    with pytest.raises(InputError, match=r'a frame is 160x40 .* before are 160x96; reset'):
        session.push([small])
    session.reset()
    assert session.push([small])[0].image.shape == (40, 160, 3)
    list(inferencer.stream(images[:1]))
    assert inferencer.result.length == 1
    inferencer.reset()
    assert inferencer.result is None


def test_classes_and_scores_select_and_change_no_track(inferencer, multi_scale, videos):
    for api in (inferencer, multi_scale):
        everything, tracks = list(api.stream(videos[0])), api.result.tracks
        thr = float(np.median([score for frame in everything for score in frame.scores]))
        some = list(api.stream(videos[0], classes=['star', 'disk'], score_thr=thr))
        left = 0
        for frame, whole in zip(some, everything, strict=True):
            wanted = (whole.labels != 1) & (whole.scores > thr)
            np.testing.assert_array_equal(frame.identities, whole.identities[wanted])
            np.testing.assert_array_equal(frame.scores, whole.scores[wanted])
            assert frame.rles == [whole.rles[i] for i in np.flatnonzero(wanted)]
            left += len(frame)
        assert 0 < left < sum(map(len, everything))
        wanted = [track for track in tracks if track.label != 1 and track.score > thr]
        assert api.result.tracks == wanted and 0 < len(wanted) < len(tracks)


def test_merged_frames_are_those_of_the_merged_tracks(multi_scale, videos):
    reached = []
    frames = list(multi_scale.stream(videos[1], progress=reached.append))
    assert reached == [1, 2, 3]
    best = {}
    for track in sorted(multi_scale.result.tracks, key=lambda track: -track.score):
        best.setdefault(track.identity, track)
    for frame in frames:
        seen = {i for i, track in best.items() if track.segmentations[frame.index] is not None}
        assert set(frame.identities.tolist()) == seen and len(frame) == len(seen) > 0
        for i, identity in enumerate(frame.identities.tolist()):
            assert frame.rles[i] == best[identity].segmentations[frame.index]
            assert frame.scores[i] == np.float32(best[identity].score)
    images = [frame.image for frame in frames]
    with pytest.raises(InputError, match='read once'):
        multi_scale.stream(iter(images))
    # without frames to give back, one reading will do
    assert entries([multi_scale(iter(images))]) == entries([multi_scale(videos[1])])
    with pytest.raises(InputError, match='tta'):
        multi_scale.session().push(images[:1])


def test_an_interrupted_stream_keeps_what_was_done(inferencer, multi_scale, videos):
    images = [np.asarray(Image.open(path)) for path in sorted(videos[0].iterdir())]

    class Interrupted(list):
        def __iter__(self):
            yield from images[:2]
            raise KeyboardInterrupt

    expected = entries([inferencer(images[:2])])
    frames = []
    with pytest.raises(KeyboardInterrupt):
        frames.extend(inferencer.stream(Interrupted()))
    assert len(frames) == 2
    assert entries([inferencer.result]) == expected
    expected = entries([multi_scale(images[:2])])
    with pytest.raises(KeyboardInterrupt):
        list(multi_scale.stream(Interrupted()))
    assert entries([multi_scale.result]) == expected


def test_images_and_frames_are_not_kept(inferencer, tmp_path):
    path = write_video(tmp_path / 'long.mp4', length=20, size=(32, 48))
    images = []
    for frame in inferencer.stream(path):
        images.append(weakref.ref(frame.image))
        assert sum(image() is not None for image in images) <= 2
    assert len(images) == inferencer.result.length == 20


def test_a_release_checkpoint_is_converted_on_the_fly(tmp_path):
    fixture = load('idol_r50_hidden64')
    fixture['frames'] = fixture['frames'][:2]
    keys = json.loads(str(fixture['ref_keys_json']))
    path = tmp_path / 'release.pth'
    torch.save(dict(model=release_state_dict(keys)), path)
    config = Config.fromfile(ROOT / 'tests' / 'configs' / 'release_r50_hidden64.py')
    config.default_scope = 'mmvis_cl'
    pipeline = [
        dict(type='TransformBroadcaster', transforms=[dict(type='LoadFrame')]),
        dict(type='PackVISInputs'),
    ]
    dataset = dict(type='VISDataset', classes=tuple('abcde'), pipeline=pipeline)
    config.test_dataloader = dict(dataset=dataset)
    api = VISInferencer(config, path, 'cpu')
    assert api.classes == tuple('abcde')
    frames = list(fixture['frames'])
    result = api(frames)
    # the same through the model that the other tests compare with the release
    model = build('release_r50_hidden64', fixture)
    expected = model.start_video('frames', len(frames), frames[0].shape[:2])
    batch = model.data_preprocessor(video_batch(fixture))
    inputs, samples = batch['inputs'][0], list(batch['data_samples'][0])
    for t in range(len(frames)):
        model.track_frames(expected, inputs[t : t + 1], samples[t : t + 1])
    tracks, wanted = result.tracks, expected.result.tracks
    assert [t[:2] for t in tracks] == [t[:2] for t in wanted] and tracks
    # its batch norms are fused
    np.testing.assert_allclose([t.score for t in tracks], [t.score for t in wanted], rtol=1e-4)


def error_of(*args, **kwargs):
    with pytest.raises(InputError) as error:
        VISInferencer(*args, **kwargs)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_together(data, tmp_path):
    weights = data / 'model.pth'
    assert 'near it are r50_ytvis2' in error_of('r50_ytvis23', weights)
    assert 'there is no such checkpoint' in error_of(CONFIG, tmp_path / 'none.pth')
    assert 'weights: none were given' in error_of(CONFIG, None)
    (tmp_path / 'cut.pth').write_bytes(weights.read_bytes()[:5000])
    assert 'cut off' in error_of(CONFIG, tmp_path / 'cut.pth')
    more = {'model.detector.bbox_head.num_classes': 5}
    assert 'probably num_classes differs' in error_of(CONFIG, weights, 'cpu', cfg_options=more)
    message = error_of('r50_ytvis21', weights, 'cpu')
    assert 'does not fit the model' in message or 'has none of the' in message
    assert 'model.pth' in message and 'r50_ytvis21.py' in message
    torch.save(dict(state_dict={'fc.weight': torch.zeros(2)}), tmp_path / 'other.pth')
    assert 'made by another program' in error_of(CONFIG, tmp_path / 'other.pth', 'cpu')
    assert "device 'gpu' cannot be used" in error_of(CONFIG, weights, 'gpu')
    if not torch.cuda.is_available():
        assert "device 'cuda:0' cannot be used" in error_of(CONFIG, weights, 'cuda:0')
    no_scales = {'tta.scales': []}
    assert 'no tta.scales' in error_of(CONFIG, weights, tta=True, cfg_options=no_scales)


def test_classes_of_config_and_checkpoint(data, tmp_path):
    state = torch.load(data / 'model.pth', weights_only=False)['state_dict']
    torch.save(state, tmp_path / 'bare.pth')
    options = {'test_dataloader.dataset.classes': ('a', 'b', 'c')}
    assert VISInferencer(CONFIG, tmp_path / 'bare.pth', 'cpu', cfg_options=options).classes == (
        *'abc',
    )
    # what it was trained on is what it knows
    assert VISInferencer(CONFIG, data / 'model.pth', 'cpu', cfg_options=options).classes == CLASSES
    two = {'test_dataloader.dataset.classes': ('a', 'b')}
    message = error_of(CONFIG, tmp_path / 'bare.pth', 'cpu', cfg_options=two)
    assert 'the model has 3 classes, but 2 are named' in message


def test_unknown_classes(inferencer, videos):
    for names in (['disk', 'Triangel'], 'Triangel'):
        with pytest.raises(InputError, match=r"'Triangel'; did you mean 'triangle'\?.*disk, tri"):
            inferencer.stream(videos[0], classes=names)  # at once, before the first frame
    with pytest.raises(InputError, match='none is named'):
        inferencer(videos[0], classes=[])


def test_half_precision(data, videos):
    amp = VISInferencer(CONFIG, data / 'model.pth', 'cpu', amp=True)
    assert amp.model.test_cfg['autocast'] == 'bfloat16'
    frames = list(amp.stream(videos[0], max_frames=2))
    assert all(np.isfinite(frame.scores).all() and len(frame) for frame in frames)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.tracker.memory_lenght': 2}, 'model.tracker.memory_lenght: MemoryBankTracker has'),
        ({'model.tracker.type': 'MemoryBnkTracker'}, 'did you mean MemoryBankTracker?'),
        ({'model.tracker.memory_len.x': 2}, 'nothing can be set below'),
        ({'test_dataloader.dataset.pipeline.9.scale': 2}, 'is a list of 2; give a number'),
    ],
)
def test_a_wrong_setting_is_one_line(data, options, message):
    assert message in error_of(CONFIG, data / 'model.pth', 'cpu', cfg_options=options)


def test_a_broken_config_file_is_one_line(data, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {str(CONFIG)!r}\nmodel = dict(\n')
    assert 'mine.py, line 2: ' in error_of(path, data / 'model.pth', 'cpu')
