"""Outputs, losses and gradients equal the authors' release, measured with the same weights."""

import json
import re

import numpy as np
import pytest
import torch
from release_fixtures import build, load, training_batch, video_batch

from mmvis_cl.checkpoints.release_checkpoint import name_table, structure_of

LOSSES = dict(
    ce='cls', bbox='bbox', giou='iou', mask='mask', dice='dice', reid='embed', reid_aux='embed_aux'
)


@pytest.fixture(scope='module', params=['r50', 'swin'])
def network(request):
    return request.param


@pytest.fixture(scope='module')
def fixture(network):
    return load(f'idol_{network}_hidden64')


@pytest.fixture(scope='module')
def model(network, fixture):
    return build(f'release_{network}_hidden64', fixture)


@pytest.fixture(scope='module')
def losses(fixture, model):
    model.train()
    data = model.data_preprocessor(training_batch(fixture), training=True)
    torch.manual_seed(0)
    losses = model(**data, mode='loss')
    sum(v for k, v in losses.items() if k != 'loss_embed_aux').backward()
    model.eval()
    return losses


@pytest.mark.parametrize(
    'theirs, ours',
    [
        ('pred_logits', 'pred_logits'),
        ('pred_boxes', 'pred_boxes'),
        ('pred_masks', 'pred_masks'),
        ('pred_inst_embed', 'pred_embeds'),
        ('reference_points', 'reference_points'),
    ],
)
def test_raw_outputs(fixture, model, theirs, ours):
    with torch.no_grad():
        outputs = model(**model.data_preprocessor(video_batch(fixture)), mode='tensor')
    expected = fixture[theirs].reshape(outputs[ours].shape)
    np.testing.assert_allclose(
        outputs[ours].numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )


def test_losses(fixture, losses):
    for name, expected in json.loads(str(fixture['losses_json'])).items():
        kind, layer = re.fullmatch(r'loss_([a-z_]+?)(?:_(\d))?', name).groups()
        if kind == 'reid_aux':
            continue  # random, see below
        ours = (f'd{layer}.' if layer else '') + f'loss_{LOSSES[kind]}'
        assert losses[ours].item() == pytest.approx(expected, rel=1e-4), ours


def test_auxiliary_loss_has_the_same_distribution(fixture, model, monkeypatch):
    data = model.data_preprocessor(training_batch(fixture), training=True)
    calls = []
    loss = model.embed_head.loss
    monkeypatch.setattr(model.embed_head, 'loss', lambda *args: calls.append(args) or {})
    torch.manual_seed(0)
    with torch.no_grad():
        model(**data, mode='loss')
        draws = np.array([loss(*calls[0])['loss_embed_aux'].item() for _ in range(200)])
    theirs = fixture['aux_draws']
    standard_error = np.hypot(draws.std() / len(draws) ** 0.5, theirs.std() / len(theirs) ** 0.5)
    assert abs(draws.mean() - theirs.mean()) < 4 * standard_error
    assert 2 / 3 < draws.std() / theirs.std() < 4 / 3


def test_gradient_norms(fixture, model, losses):
    expected = json.loads(str(fixture['grad_norms_json']))
    keys = [key for key, *_ in json.loads(str(fixture['ref_keys_json']))]
    table = name_table(structure_of(keys, release=True))
    parameters = dict(model.named_parameters())
    for name, norm in expected.items():
        assert parameters[table[name]].grad.norm().item() == pytest.approx(norm, rel=1e-3), name
    # what trains here trains there
    trained = {name for name, p in parameters.items() if p.grad is not None}
    assert {table[name] for name in expected} == trained
