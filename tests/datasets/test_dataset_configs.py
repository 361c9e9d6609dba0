"""The data set configs: what method.md's recipe asks of them, and that their loaders run."""

import copy
import itertools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


@pytest.mark.parametrize('year', ['2019', '2021'])
def test_recipe_of_youtube_vis(year):
    cfg = Config.fromfile(CONFIGS / f'ytvis{year[2:]}.py')
    sampling, _, maybe, together, _ = cfg.train_dataloader.dataset.pipeline
    assert sampling.frame_range == 10
    (alone,) = maybe.transforms
    assert not alone.share_random_params and together.share_random_params
    (crop,) = alone.transforms
    assert maybe.prob == 0.5 and tuple(crop.crop_size) == (384, 600)
    scales = [320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640]
    assert together.transforms[0].scales == [(768, s) for s in scales]
    assert min(cfg.test_pipeline[0].transforms[1].scale) == 480
    assert cfg.train_dataloader.batch_size == 4
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.classes == year
        assert loader.dataset.data_root == f'data/youtube_vis_{year}/'
    assert cfg.test_dataloader.dataset.test_mode
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.format_only
        assert evaluator.ann_file == cfg.val_dataloader.dataset.data_root + (
            cfg.val_dataloader.dataset.ann_file
        )


def test_recipe_of_ovis():
    cfg = Config.fromfile(CONFIGS / 'ovis.py')
    resize = cfg.train_dataloader.dataset.pipeline[3].transforms[0]
    assert resize.scales == [(1333, s) for s in range(480, 801, 32)]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert min(loader.dataset.pipeline[0].transforms[1].scale) == 720
        assert loader.dataset.ann_file == 'annotations_valid.json'
        assert loader.dataset.classes == cfg.train_dataloader.dataset.classes == 'ovis'
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.test_evaluator.ann_file == 'data/ovis/annotations_valid.json'


def test_youtube_vis_22_trains_on_2021():
    cfg = Config.fromfile(CONFIGS / 'ytvis22.py')
    before = Config.fromfile(CONFIGS / 'ytvis21.py')
    train, train_21 = cfg.train_dataloader.to_dict(), before.train_dataloader.to_dict()
    assert train['dataset'].pop('classes') == '2022' and train_21['dataset'].pop('classes')
    assert train == train_21
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.classes == '2022'
        assert loader.dataset.data_root == 'data/youtube_vis_2022/'
        assert loader.dataset.pipeline == before.val_dataloader.dataset.pipeline
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == 'data/youtube_vis_2022/valid/instances.json'


@pytest.mark.parametrize('name', ['ytvis19', 'ytvis21', 'ytvis22', 'ovis'])
def test_options_for_the_test_split(name):
    """Those that the comment of the config names change the test split, and nothing else."""
    text = (CONFIGS / f'{name}.py').read_text()
    options = dict(re.findall(r'#.*? (test_\w+\.[\w.]+)=([\w./]*test[\w./]*)', text))
    assert len(options) == 3
    cfg, before = (Config.fromfile(CONFIGS / f'{name}.py') for _ in range(2))
    cfg.merge_from_dict(options)
    dataset = cfg.test_dataloader.dataset
    assert cfg.test_evaluator.ann_file == dataset.data_root + dataset.ann_file
    valid = before.test_dataloader.dataset
    assert dataset.ann_file == valid.ann_file.replace('valid', 'test')
    assert dataset.data_prefix.img_path == valid.data_prefix.img_path.replace('valid', 'test')
    assert cfg.val_dataloader == before.val_dataloader
    assert cfg.val_evaluator == before.val_evaluator


def test_loaders(vis_root, vis_scope):
    cfg = Config.fromfile(CONFIGS / 'moving_shapes.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.update(data_root=str(vis_root), ann_file='train.json', classes=None)

    def batches_of(workers, seed=3):
        loader = copy.deepcopy(cfg.train_dataloader)
        loader.update(num_workers=workers, persistent_workers=workers > 0)
        return list(itertools.islice(Runner.build_dataloader(loader, seed=seed), 3))

    first = batches_of(2)
    for batch in first:
        assert len(batch['inputs']) == len(batch['data_samples']) == 4
        for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            assert inputs.shape[:2] == (2, 3) and inputs.dtype == torch.uint8
            assert sample.key_frames_inds == [0] and sample.ref_frames_inds == [1]
            sizes = [frame.img_shape for frame in sample.video_data_samples]
            assert tuple(inputs.shape[2:]) == tuple(max(s) for s in zip(*sizes, strict=True))

    # What a pair looks like depends on the seed, and not on the workers.
    def images_of(batches):
        return [image for batch in batches for image in batch['inputs']]

    def same(one, other):
        return all(
            a.shape == b.shape and torch.equal(a, b)
            for a, b in zip(images_of(one), images_of(other), strict=True)
        )

    assert same(first, batches_of(0))
    assert not same(first, batches_of(0, seed=4))

    frames = [
        sample.video_data_samples[0].frame_id
        for batch in Runner.build_dataloader(cfg.val_dataloader, seed=3)
        for sample in batch['data_samples']
    ]
    assert frames == list(range(12))
