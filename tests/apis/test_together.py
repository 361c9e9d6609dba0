"""Several videos at once have the results that each has alone."""

import numpy as np
import pytest
import torch
from small_model import CONFIG, small_model

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.apis.together import TogetherVideo, stream_together
from mmvis_cl.errors import InputError

SIZES = [(48, 64), (48, 64), (32, 64), (48, 64), (32, 64), (48, 64)]
LENGTHS = [7, 1, 4, 5, 9, 3]


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory):
    model = small_model(confident=True)
    path = tmp_path_factory.mktemp('together') / 'small.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    options = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 48)}
    return VISInferencer(CONFIG, path, 'cpu', frames_per_pass=4, cfg_options=options)


@pytest.fixture(scope='module')
def videos():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 255, (length, *size, 3), dtype=np.uint8)
        for size, length in zip(SIZES, LENGTHS, strict=True)
    ]


def together(inferencer, sources, most):
    """Frames of each video, the order in which videos end, and the most frames of a pass."""
    left = iter(enumerate(sources))
    numbers, frames, ended = {}, {}, []

    def begin():
        for number, source in left:
            video = TogetherVideo(inferencer.session(name=str(number)), source)
            numbers[video], frames[number] = number, []
            return video
        return None

    for video, frame in stream_together(inferencer, begin, most):
        if frame is None:
            ended.append(video)
        else:
            frames[numbers[video]].append(frame)
    return frames, ended, numbers


@pytest.mark.parametrize('most', [1, 3, 6])
def test_results_are_those_of_each_video_alone(inferencer, videos, most, monkeypatch):
    passes = []
    query_states = inferencer.model.query_states

    def counted(inputs, samples):
        passes.append(len(samples))
        assert len({tuple(sample.ori_shape) for sample in samples}) == 1
        return query_states(inputs, samples)

    monkeypatch.setattr(inferencer.model, 'query_states', counted)
    frames, ended, numbers = together(inferencer, [open_source(list(v)) for v in videos], most)
    monkeypatch.undo()
    assert len(ended) == len(videos) and sum(passes) == sum(LENGTHS)
    if most > 1:
        assert max(passes) > 1 and len(passes) < sum(LENGTHS)
    for number, video in enumerate(videos):
        session = inferencer.session(name=str(number))
        expected = list(session.stream(list(video)))
        assert len(frames[number]) == len(expected) == LENGTHS[number]
        assert sum(map(len, expected)) > 3
        for found, alone in zip(frames[number], expected, strict=True):
            assert found.index == alone.index and found.time == alone.time
            assert found.identities.tolist() == alone.identities.tolist()
            np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
            np.testing.assert_allclose(found.bboxes, alone.bboxes, atol=1e-2)
            differing = (found.masks ^ alone.masks).sum()
            assert differing <= 1e-3 * alone.masks.sum() + 2
    for video in ended:
        tracks = video.session.result.tracks
        alone = inferencer.session()(list(videos[numbers[video]])).tracks
        assert [t.label for t in tracks] == [t.label for t in alone]
        assert [t.score for t in tracks] == pytest.approx([t.score for t in alone], abs=1e-5)


def test_a_broken_video_ends_alone(inferencer, videos):
    def broken():
        yield from videos[0][:2]
        yield np.zeros((5, 5, 3), np.uint8)  # of another size

    sources = [open_source(list(videos[1])), open_source(broken()), open_source(list(videos[3]))]
    frames, ended, numbers = together(inferencer, sources, 3)
    errors = {numbers[video]: video.error for video in ended}
    assert errors.keys() == {0, 1, 2} and errors[0] is errors[2] is None
    assert isinstance(errors[1], InputError) and 'of one size' in str(errors[1])
    assert {number: len(f) for number, f in frames.items()} == {0: 1, 1: 2, 2: 5}


def test_a_video_that_is_stopped_gives_way(inferencer, videos):
    begun = [TogetherVideo(inferencer.session(), open_source(list(videos[4]))) for _ in range(2)]
    left, seen = iter(begun), []
    for video, frame in stream_together(inferencer, lambda: next(left, None), 1):
        seen.append((begun.index(video), frame is None))
        if video is begun[0]:
            video.stop()
    assert (0, True) in seen and seen.count((1, False)) == LENGTHS[4]
    assert seen.count((0, False)) < LENGTHS[4]
