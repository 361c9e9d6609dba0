"""A video tracked at several sizes, with a tiny network."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from release_fixtures import frame_sample, track_sample
from small_model import small_model
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.models.vis.multi_scale_vis import merge_video_results
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import MergedResult, VideoResult, encode_masks

SIZE = (64, 96)
LENGTH = 3


@pytest.fixture(scope='module')
def model():
    return small_model(confident=True).eval()


def video(scale=1.0, flip=False, video_id=1, ori_shape=SIZE):
    """Frames of random blocks and their samples."""
    g = torch.Generator().manual_seed(video_id)
    frames = torch.randint(0, 256, (LENGTH, 3, 8, 12), generator=g).float()
    size = tuple(int(side * scale) for side in SIZE)
    frames = F.interpolate(frames, size).to(torch.uint8)
    samples = []
    for t in range(LENGTH):
        sample = frame_sample(size)
        meta = dict(frame_id=t, video_id=video_id, ori_video_length=LENGTH, ori_shape=ori_shape)
        sample.set_metainfo(dict(meta, flip=flip))
        samples.append(sample)
    return (frames.flip(-1) if flip else frames), samples


def predict(model, frames, samples):
    data = dict(inputs=[frames], data_samples=[track_sample(samples)])
    with torch.no_grad():
        return model.test_step(data)[0].video_result


def predict_runs(model, runs):
    """Frame by frame, as the data loader gives the frames with TestTimeAug."""
    for t in range(LENGTH):
        data = dict(
            inputs=[[frames[t : t + 1]] for frames, _ in runs],
            data_samples=[[track_sample(samples[t : t + 1])] for _, samples in runs],
        )
        with torch.no_grad():
            (sample,) = model.test_step(data)
        assert len(sample) == 1
        assert ('video_result' in sample.metainfo) == (t == LENGTH - 1)
    return sample.video_result


def multi_scale(model, **merge_cfg):
    return MODELS.build(dict(type='mmvis_cl.MultiScaleVIS', module=model, merge_cfg=merge_cfg))


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_one_size_gives_exactly_the_plain_result(model, method):
    expected = predict_runs(multi_scale(model, method=method), [video()])
    plain = VideoResult(1, LENGTH, SIZE)
    for t in range(LENGTH):  # frame by frame, too
        frames, samples = video()
        data = dict(inputs=[frames[t : t + 1]], data_samples=[track_sample(samples[t : t + 1])])
        with torch.no_grad():
            (sample,) = model.test_step(data)
    plain = sample.video_result
    assert len(plain.tracks) > 5
    assert expected.tracks == plain.tracks


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_each_size_is_tracked_on_its_own_and_merged_at_the_end(model, method):
    options = dict(method=method, iou_thr=0.3, weights=[1, 2, 1])
    runs = [dict(scale=1.0), dict(scale=1.5), dict(scale=1.0, flip=True)]
    tta = multi_scale(model, **options)
    merged = {
        # the second video must not see anything of the first
        video_id: predict_runs(tta, [video(**run, video_id=video_id) for run in runs])
        for video_id in (1, 2)
    }
    for video_id, result in merged.items():
        alone = [predict(model, *video(**run, video_id=video_id)) for run in runs]
        expected = merge_video_results(alone, **options)
        assert (result.video_id, result.length, result.ori_shape) == (video_id, LENGTH, SIZE)
        assert len(result.tracks) < sum(len(r.tracks) for r in alone)
        for track, other in zip(result.tracks, expected.tracks, strict=True):
            assert track.segmentations == other.segmentations
            assert (track.identity, track.label) == (other.identity, other.label)
            assert track.score == pytest.approx(other.score, abs=1e-5)


def test_mirrored_frames_give_mirrored_masks_and_boxes_that_are_turned_back(model):
    frames, samples = video(flip=True)
    turned = predict(model, frames, samples)
    for sample in samples:
        sample.set_metainfo(dict(flip=False))
    mirrored = predict(model, frames, samples)
    assert len(turned.tracks) == len(mirrored.tracks) > 5
    for track, other in zip(turned.tracks, mirrored.tracks, strict=True):
        assert (track.identity, track.label, track.score) == other[:3]
        for t, (rle, expected) in enumerate(
            zip(track.segmentations, other.segmentations, strict=True)
        ):
            assert (rle is None) == (expected is None)
            if rle is not None:
                np.testing.assert_array_equal(
                    mask_util.decode(rle), mask_util.decode(expected)[:, ::-1]
                )
                x1, y1, x2, y2 = other.bboxes[t]
                assert track.bboxes[t] == pytest.approx([SIZE[1] - x2, y1, SIZE[1] - x1, y2])


def result_of(*identities, length=2):
    """A result: of each identity class scores and a box of whole pixels, the same in all frames."""
    result = VideoResult('v', length, SIZE)
    for frame in range(length):
        masks = np.zeros((len(identities), *SIZE), bool)
        for mask, (_, _, (x1, y1, x2, y2)) in zip(masks, identities, strict=True):
            mask[y1:y2, x1:x2] = True
        result.add_frame(
            frame,
            np.array([i for i, _, _ in identities]),
            np.array([scores for _, scores, _ in identities]),
            encode_masks(masks),
            np.array([box for _, _, box in identities], float),
        )
    return result


def test_classes_of_one_object_share_an_identity_after_merging():
    first = result_of((0, [0.9, 0.0], (0, 0, 20, 20)), (4, [0.0, 0.5], (40, 0, 60, 20)))
    second = result_of((0, [0.6, 0.7], (0, 0, 20, 22)), (1, [0.4, 0.0], (70, 30, 90, 50)))
    merged = merge_video_results([first, second], method='fuse')
    by_key = {(t.label, round(t.score, 3)): t for t in merged.tracks}
    assert set(by_key) == {(0, 0.75), (1, 0.25), (1, 0.35), (0, 0.2)}
    # class 0 of the second's identity 0 went to the first's, so its class 1 follows
    assert by_key[0, 0.75].identity == by_key[1, 0.35].identity == 0
    assert by_key[1, 0.25].identity == 4
    assert by_key[0, 0.2].identity not in (0, 4)
    # boxes follow the masks
    assert by_key[0, 0.75].bboxes == [[0, 0, 20, 20]] * 2
    assert by_key[1, 0.35].bboxes == [[0, 0, 20, 22]] * 2

    entries = merged.to_youtube_vis([11, 22])
    assert [e['category_id'] for e in entries] == [11 * (t.label + 1) for t in merged.tracks]
    sample = merged.to_track_data_sample([dict(frame_id=t) for t in range(2)])
    assert len(sample[1].pred_track_instances) == 4
    with pytest.raises(TypeError, match='finished'):
        merged.add_frame(2, np.zeros(0, int), np.zeros((0, 2)), [], np.zeros((0, 4)))


def test_nothing_found():
    merged = merge_video_results([result_of(), result_of()])
    assert isinstance(merged, MergedResult)
    assert merged.tracks == []


def test_models_and_options_that_do_not_fit(model):
    with pytest.raises(InputError, match="a Linear does not keep a video in a 'session'"):
        multi_scale(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="method 'mean' is not known"):
        multi_scale(model, method='mean')
