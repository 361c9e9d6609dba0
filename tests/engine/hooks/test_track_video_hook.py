from types import SimpleNamespace

import av
import numpy as np
import pytest
from mmdet.structures import DetDataSample, TrackDataSample
from PIL import Image

from mmvis_cl.engine import TrackVideoHook
from mmvis_cl.structures import VideoResult


class Frames:
    """Feeds a hook as a test loop would, frame by frame."""

    def __init__(self, root, hook):
        self.root, self.hook = root, hook
        dataset = SimpleNamespace(
            data_prefix=dict(img_path=str(root)), metainfo=dict(classes=('cat',))
        )
        self.runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
        hook.before_test_epoch(self.runner)

    def step(self, video_id, folder, frame_id, last, length=2):
        path = self.root / folder / f'{frame_id:05d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((36, 48, 3), np.uint8)).save(path)
        info = dict(video_id=video_id, frame_id=frame_id, img_path=str(path))
        sample = TrackDataSample()
        sample.video_data_samples = [DetDataSample(metainfo=info)]
        if last:
            sample.set_metainfo(dict(video_result=VideoResult(video_id, length, (36, 48))))
        self.hook.after_test_iter(self.runner, 0, outputs=[sample])


def length_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def feed(tmp_path):
    hook = TrackVideoHook(str(tmp_path / 'out'))
    return Frames(tmp_path / 'images', hook), hook, tmp_path / 'out'


def test_one_video_each_as_soon_as_it_is_finished(feed):
    frames, hook, out = feed
    frames.step(7, 'first', 0, last=False)
    assert not out.exists()
    frames.step(7, 'first', 1, last=True)
    assert [p.name for p in out.iterdir()] == ['first.mp4']
    frames.step(8, 'a/b', 0, last=False)
    frames.step(8, 'a/b', 1, last=False)
    frames.step(8, 'a/b', 2, last=True, length=3)
    assert sorted(p.name for p in out.iterdir()) == ['a_b.mp4', 'first.mp4']
    assert length_of(out / 'first.mp4') == 2
    assert length_of(out / 'a_b.mp4') == 3
    assert hook._paths == {}


def test_interleaved_videos_are_kept_apart(feed):
    frames, _, out = feed
    frames.step(1, 'x', 0, last=False)
    frames.step(2, 'y', 0, last=False)
    frames.step(1, 'x', 1, last=True)
    frames.step(2, 'y', 1, last=False)
    frames.step(2, 'y', 2, last=True, length=3)
    assert length_of(out / 'x.mp4') == 2
    assert length_of(out / 'y.mp4') == 3


def test_two_videos_in_one_folder_have_two_names(feed):
    frames, _, out = feed
    for video_id in (4, 5):
        frames.step(video_id, 'same', 0, last=True, length=1)
    assert sorted(p.name for p in out.iterdir()) == ['same.mp4', 'same_5.mp4']
