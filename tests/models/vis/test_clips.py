"""Training by clips, on either network, with the small configs on made-up videos."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from release_fixtures import ROOT

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.models.task_modules.clip_objects import clip_objects
from mmvis_cl.registry import MODELS

CONFIGS = ROOT.parent / 'configs'
NETWORKS = {
    'report': 'vis_cl/small_moving-shapes_clips.py',
    'ctvis': 'ctvis/small_moving-shapes.py',
}


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    make_moving_shapes(root / 'shapes', seed=1, train_videos=4, valid_videos=1, length=8)
    return root / 'shapes'


@pytest.fixture(params=NETWORKS)
def network(request, shapes):
    """A small model, and a batch of its data set."""
    cfg = Config.fromfile(CONFIGS / NETWORKS[request.param])
    cfg.train_dataloader.dataset.data_root = f'{shapes}/'
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=3)
    model.init_weights()
    return model, next(iter(loader))


def test_a_step_on_clips(network):
    model, batch = network
    data = model.data_preprocessor(batch, training=True)
    assert data['inputs'].shape[:2] == (2, 4)
    losses = model(**data, mode='loss')
    assert {'loss_embed', 'loss_embed_aux', 'loss_cls', 'd0.loss_mask', 'loss_dice'} <= set(losses)
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses['loss_embed'] > 0
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert model.embed_head.embed[0].weight.grad.abs().sum() > 0


def test_queries_are_those_of_the_objects_by_their_identity(network):
    """Each object that is to be seen has a query of its own in each frame, others have none."""
    model, batch = network
    data = model.data_preprocessor(batch, training=True)
    clips = [list(clip) for clip in data['data_samples']]
    frames = [frame for clip in clips for frame in clip]
    with torch.no_grad():
        states = model.detector.query_states(data['inputs'].flatten(0, 1), frames)
        objects = [clip_objects(clip, model.detector.num_classes) for clip in clips]
        _, queries = model.detector.loss_of_clips(states, frames, objects)
    assert sum(len(of.ids) for of in objects) > 2
    for clip, of, found in zip(clips, objects, queries, strict=True):
        for t, frame in enumerate(clip):
            ids = set(frame.gt_instances.instances_ids.tolist())
            seen = found.best[t] >= 0
            assert set(of.ids[seen].tolist()) == ids
            best = found.best[t][seen]
            assert best.unique().numel() == len(ids)
            assert found.own[t][seen, best].all() and not found.own[t][~seen].any()
            assert (found.own[t].sum(0) <= 1).all()  # no query learns two objects


def test_objects_that_were_cut_away_take_part_in_the_matching_of_mask_queries(shapes):
    cfg = Config.fromfile(CONFIGS / NETWORKS['ctvis'])
    cfg.train_dataloader.dataset.data_root = f'{shapes}/'
    cfg.train_dataloader.dataset.pipeline[2].prob = 1.0
    crop = cfg.train_dataloader.dataset.pipeline[2].transforms[0].transforms[0]
    crop.crop_size = (0.3, 0.3)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        dataset = Runner.build_dataloader(
            dict(cfg.train_dataloader, num_workers=0, persistent_workers=False), seed=0
        ).dataset
    lost = 0
    for i in range(8):
        clip = list(dataset[i % len(dataset)]['data_samples'])
        assert len({frame.img_shape for frame in clip}) == 1  # all frames through one window
        objects = clip_objects(clip, 3)
        for frame, labels, place in zip(clip, objects.labels, objects.place, strict=True):
            away = frame.ignored_instances
            assert not away.masks.masks.any()
            lost += len(away)
            assert ((labels < 3) & (place < 0)).sum() == len(away)
    assert lost > 0
