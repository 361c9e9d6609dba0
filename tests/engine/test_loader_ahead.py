"""A test whose network is a batch ahead gives what a test gives."""

from types import SimpleNamespace

import pytest
import torch
from fake_cuda import FakeCuda
from mmdet.structures import TrackDataSample
from mmengine.runner import TestLoop as Loop  # pytest would take it for tests
from release_fixtures import frame_sample
from small_model import small_model

from mmvis_cl.engine import loader_ahead
from mmvis_cl.engine.hooks import FastInferenceHook
from mmvis_cl.engine.loader_ahead import LoaderAhead
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.network_ahead import network_ahead

LENGTHS = 4, 3


def batches():
    """Two videos; some batches have a frame, some two, one of them of two videos."""
    generator = torch.Generator().manual_seed(0)
    frames = [(video, t) for video, length in enumerate(LENGTHS) for t in range(length)]
    for group in (frames[:1], frames[1:3], frames[3:5], frames[5:]):
        inputs, samples = [], []
        for video, t in group:
            image = torch.randint(0, 256, (1, 3, 60, 90), generator=generator, dtype=torch.uint8)
            sample = TrackDataSample(metainfo=dict(video_id=video))
            frame = frame_sample((60, 90))
            frame.set_metainfo(dict(frame_id=t, video_id=video, ori_video_length=LENGTHS[video]))
            sample.video_data_samples = [frame]
            inputs.append(image)
            samples.append(sample)
        yield dict(inputs=inputs, data_samples=samples)


@pytest.fixture
def model():
    model = small_model(confident=True).eval()
    prepare_for_inference(model)
    return model


def test_results_are_those_of_batch_after_batch(model, monkeypatch):
    results = {}
    for ahead in (False, True):
        given = list(batches())
        if ahead:
            FakeCuda(monkeypatch)
            monkeypatch.setattr(
                loader_ahead,
                'network_ahead',
                lambda items, run, device: network_ahead(items, run, torch.device('cuda')),
            )
            given = LoaderAhead(given, model)
            assert len(given) == 4
        with torch.no_grad():
            outputs = [sample for batch in given for sample in model.test_step(batch)]
        results[ahead] = outputs
    assert len(results[True]) == sum(LENGTHS)
    for one, other in zip(results[True], results[False], strict=True):
        found, expected = one[0].pred_track_instances, other[0].pred_track_instances
        assert found.instances_id.tolist() == expected.instances_id.tolist()
        assert torch.equal(found.scores, expected.scores) and found.masks == expected.masks
        if 'video_result' in other:
            assert one.video_result.to_youtube_vis([1, 2, 3]) == (
                other.video_result.to_youtube_vis([1, 2, 3])
            )
    assert sum('video_result' in sample for sample in results[True]) == 2


class OnGPU(torch.nn.Parameter):
    is_cuda = True


@pytest.mark.parametrize('where', ['gpu', 'cpu', 'fp16', 'other loop'])
def test_the_hook_puts_it_before_a_test_on_a_gpu(model, where):
    class OtherLoop(Loop):
        """Nobody knows what it asks of its loader."""

    loop = (OtherLoop if where == 'other loop' else Loop).__new__(Loop)
    if where == 'other loop':
        loop.__class__ = OtherLoop
    loader = [1, 2, 3]
    loop.dataloader, loop.fp16 = loader, where == 'fp16'
    runner = SimpleNamespace(model=model, test_loop=loop)
    if where != 'cpu':
        first = torch.zeros(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(model), 'parameters', lambda self: iter([OnGPU(first)]))
            FastInferenceHook().before_test(runner)
    else:
        FastInferenceHook().before_test(runner)
    assert isinstance(loop.dataloader, LoaderAhead) == (where == 'gpu')
    FastInferenceHook().after_test(runner)
    assert loop.dataloader is loader
