"""Frames that a GPU resizes, and passes that run ahead, change nothing."""

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda
from small_model import small_model

from mmvis_cl.apis import VISInferencer
from mmvis_cl.apis import inferencer as inferencer_module
from mmvis_cl.apis.pipeline import FramePipeline
from mmvis_cl.datasets.frame_source import SourceFrame
from mmvis_cl.fast.network_ahead import network_ahead

CPU, GPU = torch.device('cpu'), torch.device('cuda')
RESIZE = dict(type='mmvis_cl.AlignedResize', scale=(96, 64))


def steps(*transforms):
    return [
        dict(type='TransformBroadcaster', transforms=list(transforms)),
        dict(type='mmvis_cl.PackVISInputs'),
    ]


def frames(number=5, size=(75, 100), seed=0):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(number)]
    return [SourceFrame(i, i / 6, image) for i, image in enumerate(images)]


@pytest.fixture
def no_pins(monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: self)


def prepared(device, transforms, ahead=True):
    given = frames()
    batches = [given[:2], given[2:4], given[4:]]
    pipeline = FramePipeline(steps(*transforms), device)
    return list(pipeline.prepared(iter(batches), 10, ahead))


@pytest.mark.parametrize('ahead', [True, False])
def test_a_gpu_gets_the_same_frames(no_pins, ahead):
    expected, found = prepared(CPU, [RESIZE]), prepared(GPU, [RESIZE], ahead)
    assert len(found) == 3
    for (batch, (run,)), (same_batch, (wanted,)) in zip(found, expected, strict=True):
        assert run.resize_to is not None and wanted.resize_to is None
        assert [frame.index for frame in batch] == [frame.index for frame in same_batch]
        assert torch.equal(run.on(CPU), wanted.on(CPU))
        for one, other in zip(run.sample, wanted.sample, strict=True):
            for key in ('frame_id', 'img_id', 'img_shape', 'ori_shape', 'scale_factor'):
                assert one.get(key) == other.get(key), key


@pytest.mark.parametrize(
    'transforms',
    [
        [dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True)],  # OpenCV's pixels
        [RESIZE, dict(type='mmdet.RandomFlip', prob=1.0)],
        [dict(RESIZE, interpolation='nearest')],
        [],
    ],
    ids=['other pixels', 'mirrored', 'other filter', 'none'],
)
def test_what_a_gpu_would_do_otherwise_the_cpu_does(no_pins, transforms):
    expected, found = prepared(CPU, transforms), prepared(GPU, transforms)
    for (_, (run,)), (_, (wanted,)) in zip(found, expected, strict=True):
        assert run.resize_to is None and torch.equal(run.frames, wanted.frames)


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'model.pth'
    meta = dict(dataset_meta=dict(classes=('disk', 'triangle', 'star')))
    torch.save(dict(state_dict=small_model(confident=True).state_dict(), meta=meta), path)
    return VISInferencer('small_moving-shapes', path, 'cpu')


@pytest.mark.parametrize('per_pass', [1, 2])
def test_ahead_on_a_gpu_is_frame_after_frame(inferencer, monkeypatch, no_pins, per_pass):
    """With a stand-in for its streams: what is given is the same, in the same order."""
    monkeypatch.setattr(inferencer, 'frames_per_pass', per_pass)
    images = [frame.image for frame in frames(7, (90, 160), seed=3)]
    expected = list(inferencer.stream(images))
    result = inferencer.result.to_youtube_vis([1, 2, 3])

    FakeCuda(monkeypatch)
    monkeypatch.setattr(inferencer.pipeline, '_on_gpu', True)
    launched = []

    def on_gpu(items, run, device):
        def noted(item):
            launched.append(len(given))
            return run(item)

        return network_ahead(items, noted, GPU)

    monkeypatch.setattr(inferencer_module, 'network_ahead', on_gpu)
    given = []
    for frame in inferencer.stream(images):
        given.append(frame)
    assert launched[:2] == [0, 0] and launched[-1] == len(images) - (2 if per_pass == 1 else 3)
    for one, other in zip(given, expected, strict=True):
        assert np.array_equal(one.identities, other.identities)
        assert np.array_equal(one.scores, other.scores) and one.rles == other.rles
        assert np.array_equal(one.image, other.image)
    assert inferencer.result.to_youtube_vis([1, 2, 3]) == result


def test_live_frames_wait_for_no_later_one(inferencer, monkeypatch, no_pins):
    FakeCuda(monkeypatch)
    monkeypatch.setattr(inferencer.pipeline, '_on_gpu', True)
    monkeypatch.setattr(
        inferencer_module,
        'network_ahead',
        lambda items, run, device: network_ahead(items, run, GPU),
    )
    taken = []

    def camera():
        for frame in frames(3, (90, 160)):
            taken.append(frame.index)
            yield frame.image

    for frame in inferencer.stream(camera()):
        assert taken == list(range(frame.index + 1))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA device')
@pytest.mark.parametrize('amp', [False, True])
def test_a_gpu_ahead_gives_what_it_gives_frame_after_frame(inferencer, tmp_path, amp):
    """Frames resized there, graphs, the network ahead: as pushed one by one, each answered."""
    path = tmp_path / 'model.pth'
    meta = dict(dataset_meta=dict(classes=inferencer.classes))
    torch.save(dict(state_dict=small_model(confident=True).state_dict(), meta=meta), path)
    on_gpu = VISInferencer('small_moving-shapes', path, 'cuda', amp=amp, frames_per_pass=1)
    images = [frame.image for frame in frames(12, (720, 1280), seed=3)]
    expected = on_gpu.session()
    one_by_one = [found for image in images for found in expected.push([image])]
    for one, other in zip(on_gpu.stream(images), one_by_one, strict=True):
        assert np.array_equal(one.identities, other.identities)
        assert np.array_equal(one.scores, other.scores) and one.rles == other.rles
    assert on_gpu.result.to_youtube_vis([1, 2, 3]) == expected.result.to_youtube_vis([1, 2, 3])
