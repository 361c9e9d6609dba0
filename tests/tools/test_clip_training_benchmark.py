"""The benchmark of training by clips: the same budget, resumed, and its counts."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmvis_cl.config.checks import check_keys
from mmvis_cl.config.options import read_option, set_options
from mmvis_cl.models import ContrastiveVIS
from mmvis_cl.models.detectors.image_network import ImageNetwork
from mmvis_cl.models.vis.contrastive_vis import TEST_KEYS
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import encode_masks


@pytest.fixture(scope='module')
def clips(import_benchmark):
    return import_benchmark('clip_training')


@pytest.fixture(scope='module')
def runs(import_benchmark):
    return import_benchmark('training_runs')


def options(**kwargs):
    given = dict(data=Path('paste'), weights=Path('w.pth'), iterations=300, seeds=[0])
    return argparse.Namespace(**{**given, **kwargs})


@pytest.mark.parametrize('data', [None, Path('paste')])
def test_every_training_sees_as_many_frames(clips, runs, data):
    args = options(data=data)
    for network in clips.NETWORKS:
        models = []
        for training in clips.TRAININGS:
            cfg = clips.config_of(network, training, args, Path('/data'))
            loader = cfg.train_dataloader
            frames = loader.dataset.pipeline[0].get('num_frames', 2)
            assert frames * loader.batch_size == runs.FRAMES
            assert cfg.train_cfg.max_iters == 300 and cfg.param_scheduler[1].end == 300
            assert ('Clip' in cfg.model.embed_head.type) == (training == 'clips')
            assert loader.dataset.data_root == '/data/'
            models.append(cfg.model.to_dict())
        for key in ('embed_head', 'both_ways'):
            for model in models:
                model.pop(key, None)
        assert models[0] == models[1]  # nothing else differs
        backbone = models[0]['detector']['backbone']
        assert backbone['model_name'] == 'tf_efficientnet_lite0' and backbone['freeze_batch_norm']
    assert (
        clips.config_of('report', 'pairs', options(weights=None), Path('/x'))
        .model.detector['backbone']
        .type
        == 'ResNet'
    )


def test_what_is_done_is_not_done_again(clips, runs, tmp_path, monkeypatch):
    done = []

    def run(tool, *args, log):
        done.append((tool, args))
        if tool == 'train.py':
            folder = Path(args[2])
            (folder / 'iter_300.pth').write_text('')

    monkeypatch.setattr(runs, 'run', run)
    cfg = clips.config_of('ctvis', 'clips', options(), tmp_path)
    folder = tmp_path / 'ctvis_clips_seed7'
    for _ in range(2):
        config, checkpoint = runs.trained(cfg, 7, folder)
    assert len(done) == 1 and config.is_file() and checkpoint.name == 'iter_300.pth'
    assert 'seed=7' in config.read_text()
    checkpoint.unlink()
    (checkpoint.parent / 'last_checkpoint').write_text('')
    runs.trained(cfg, 7, folder)
    assert done[-1][1][-1] == '--resume'
    scores = dict(AP=0.5, AP50=0.6, AR10=0.7, switches=3)
    (checkpoint.parent / 'scores_mean.json').write_text(json.dumps(scores))
    assert clips.tested(config, checkpoint, 'mean', tmp_path) == scores and len(done) == 2


def test_identity_switches_of_the_best_tracks(runs, tmp_path):
    """One object; of two identities that share it one takes over, a third is not among the best."""
    masks = np.zeros((4, 8, 10), bool)
    masks[:, 2:6, 3:8] = True
    rles = encode_masks(masks)
    none = [None, None]
    video = dict(id=1, width=10, height=8, length=4, file_names=['a'] * 4)
    truth = [
        dict(id=i, video_id=1, category_id=1, segmentations=s)
        for i, s in enumerate((rles, encode_masks(np.roll(masks, 2, 1))))
    ]
    content = dict(videos=[video], categories=[dict(id=1, name='a')], annotations=truth)
    (tmp_path / 'valid.json').write_text(json.dumps(content))
    tracks = [
        dict(video_id=1, category_id=1, score=0.9, segmentations=[*rles[:2], *none]),
        dict(video_id=1, category_id=2, score=0.8, segmentations=[*rles[:2], *none]),
        dict(video_id=1, category_id=1, score=0.7, segmentations=[*none, *rles[2:]]),
        dict(video_id=1, category_id=1, score=0.1, segmentations=rles),
    ]
    content['categories'].append(dict(id=2, name='b'))
    (tmp_path / 'valid.json').write_text(json.dumps(content))
    (tmp_path / 'results.json').write_text(json.dumps(tracks))
    assert runs.identity_switches(tmp_path / 'valid.json', tmp_path / 'results.json') == 1


def test_its_table(clips):
    runs = [
        dict(AP=0.1, AP50=0.2, AR10=0.3, HOTA=0.4, IDF1=0.5, switches=4),
        dict(AP=0.3, AP50=0.2, AR10=0.3, HOTA=0.5, IDF1=0.5, switches=8),
    ]
    table = clips.table_of({('report', 'clips', 'guided'): runs}, 300)
    figures = (
        '0.200 ± 0.100 | 0.200 ± 0.000 | 0.300 ± 0.000 | 0.450 ± 0.050 | 0.500 ± 0.000 | 6 ± 2'
    )
    assert (
        f'| report | clips | guided | {figures} | 2 |' in table
        and '300 iterations of 8 frames' in table
    )


def test_settings_are_options_of_the_config(clips):
    """A misspelt one would be an error after hours of training."""
    settings = clips.settings_of('report', 'pairs')
    assert len(settings) == 9 and clips.settings_of('ctvis', 'pairs') == clips.MEMORIES
    for given in settings.values():
        cfg = clips.config_of('report', 'pairs', options(), Path('/x'))
        set_options(cfg, dict(read_option(f'model.{option}') for option in given))
        ContrastiveVIS.start_video(build_association(cfg.model), 'video', 3, (8, 8))


def build_association(cfg):
    """The model without its network."""
    model = ContrastiveVIS.__new__(ContrastiveVIS)
    torch.nn.Module.__init__(model)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model.tracker = MODELS.build(cfg.tracker)
    check_keys('test_cfg of ContrastiveVIS', cfg.test_cfg, TEST_KEYS)
    model.detector, model.test_cfg = ImageNetwork(), cfg.test_cfg
    return model
