import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_files import coco_content, write_coco
from mmengine.config import Config
from mmengine.runner import Runner

from mmvis_cl.datasets import RatioSampler
from mmvis_cl.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


class Parts:
    """Stands for a ConcatDataset of data sets of the given sizes."""

    metainfo: dict = dict(classes=('a',))  # noqa: RUF012

    def __init__(self, *sizes):
        self.datasets = [range(size) for size in sizes]

    def __len__(self):
        return sum(map(len, self.datasets))


def stream(n, sizes=(5, 40), rank=0, world_size=1, **kwargs):
    sampler = RatioSampler(Parts(*sizes), **dict(dict(ratio=[3, 1], seed=5), **kwargs))
    sampler.rank, sampler.world_size = rank, world_size
    return [(int(i), i.seed) for i in itertools.islice(sampler, n)]


def test_shares_do_not_depend_on_the_sizes():
    for sizes in ((5, 40), (40, 5), (1, 1000)):
        first = sum(i < sizes[0] for i, _ in stream(4000, sizes))
        assert abs(first - 3000) < 5 * np.sqrt(4000 * 0.75 * 0.25)


def test_a_batch_of_a_process_is_of_one_set():
    for rank in range(3):
        of_first = [i < 5 for i, _ in stream(3000, rank=rank, world_size=3, per_batch=4)]
        batches = [of_first[k : k + 4] for k in range(0, 3000, 4)]
        assert all(len(set(batch)) == 1 for batch in batches)
        assert abs(sum(b[0] for b in batches) - 562.5) < 5 * np.sqrt(750 * 0.75 * 0.25)
    parts = [stream(100, rank=rank, world_size=3, per_batch=4) for rank in range(3)]
    # not the same one for all processes
    assert any(len({part[k][0] < 5 for part in parts}) == 2 for k in range(100))
    # one process alone: within each set what it was
    alone = [i for i, _ in stream(2000, per_batch=4) if i < 5]
    assert alone == [i for i, _ in stream(3000) if i < 5][: len(alone)]
    with pytest.raises(InputError, match='per_batch=0; give at least 1'):
        stream(1, per_batch=0)


def test_each_set_is_gone_through_before_it_starts_again():
    drawn = [i for i, _ in stream(4000)]
    for start, size in ((0, 5), (5, 40)):
        own = [i for i in drawn if start <= i < start + size]
        rounds = [own[k : k + size] for k in range(0, len(own) - size, size)]
        assert all(sorted(r) == list(range(start, start + size)) for r in rounds)
        assert len({tuple(r) for r in rounds}) > 10
    in_order = [i for i, _ in stream(400, shuffle=False) if i >= 5]
    assert in_order == [5 + k % 40 for k in range(len(in_order))]


def test_the_stream_follows_from_the_seed_alone():
    assert stream(300) == stream(300)
    assert stream(300) != stream(300, seed=6)
    parts = [stream(100, rank=rank, world_size=3) for rank in range(3)]
    assert [x for group in zip(*parts, strict=True) for x in group] == stream(300)
    # what one process gets is mixed as well
    first = sum(i < 5 for i, _ in stream(1000, rank=1, world_size=4))
    assert abs(first - 750) < 5 * np.sqrt(1000 * 0.75 * 0.25)


@pytest.mark.parametrize('ratio', [[1], [1, 1, 1], [1, 0], [2, -1]])
def test_a_wrong_ratio_is_told(ratio):
    with pytest.raises(InputError, match='give one number above 0 for each'):
        RatioSampler(Parts(3, 4), ratio=ratio, seed=0)


def test_a_single_data_set_is_told():
    with pytest.raises(InputError, match='the data set is a range; give a ConcatDataset'):
        RatioSampler(range(3), ratio=[1, 1], seed=0)


@pytest.fixture
def mixed_loader(vis_root, vis_content, vis_scope):
    """The loader of a mixed config: a video of cats and a dog, images of cars and persons."""
    write_coco(vis_root / 'coco', coco_content())
    loader = Config.fromfile(CONFIGS / 'coco-ytvis19.py').train_dataloader
    videos, images = loader.dataset.datasets
    videos.update(data_root=str(vis_root), data_prefix=dict(img_path='JPEGImages'))
    images.update(data_root=str(vis_root / 'coco'))
    for dataset in (videos, images):
        dataset.update(classes=('cat', 'dog'))
    images.update(class_map=dict(person='dog', car='cat'))
    for resize in (
        videos.pipeline[3].transforms[0],
        images.pipeline[1].transforms[4],
    ):
        assert resize.type == 'RandomChoiceResize'
        resize.scales = [(160, 60), (160, 90)]
    return loader


def test_videos_and_images_come_in_one_batch_whatever_the_workers(mixed_loader):
    def batches(workers, seed=3):
        loader = copy.deepcopy(mixed_loader)
        loader.update(num_workers=workers, persistent_workers=workers > 0)
        return list(itertools.islice(Runner.build_dataloader(loader, seed=seed), 4))

    def pairs(batches):
        return [
            (image, sample)
            for batch in batches
            for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
        ]

    def same(one, other):
        return all(
            a.shape == b.shape and torch.equal(a, b)
            for (a, _), (b, _) in zip(pairs(one), pairs(other), strict=True)
        )

    first = batches(2)
    assert same(first, batches(0)) and not same(first, batches(0, seed=4))
    seen = set()
    for _, sample in pairs(first):
        assert sample.key_frames_inds == [0] and sample.ref_frames_inds == [1]
        from_video = sample[0].video_id == 5
        seen.add(from_video)
        for frame in sample:
            # of the video: L and pixel are cats (0), the square is a dog; of images: L dog, square
            # cat, no mice
            labels = {11: 0, 12: 1, 13: 0} if from_video else {1: 1, 2: 0}
            objects = frame.gt_instances
            for label, i in zip(objects.labels, objects.instances_ids, strict=True):
                assert labels[int(i)] == label
    assert seen == {True, False}


@pytest.mark.parametrize('year', ['19', '21'])
def test_recipe_of_mixed_training(year):
    cfg = Config.fromfile(CONFIGS / f'coco-ytvis{year}.py')
    alone = Config.fromfile(CONFIGS / f'ytvis{year}.py')
    videos, images = cfg.train_dataloader.dataset.datasets
    assert videos == alone.train_dataloader.dataset
    assert images.classes == videos.classes == f'20{year}' and images.class_map == 'coco'
    assert cfg.train_dataloader.sampler.ratio == [1, 1]
    assert cfg.test_dataloader == alone.test_dataloader


def test_different_classes_are_told(mixed_loader):
    mixed_loader.dataset.datasets[1].update(classes=('dog', 'cat'))
    mixed_loader.update(num_workers=0, persistent_workers=False)
    with pytest.raises(InputError, match='the data sets do not have the same classes'):
        Runner.build_dataloader(mixed_loader, seed=0)
