"""From the names of CTVIS's release, and of Mask2Former's, to ours and back, bit for bit."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT, build, load
from synth_weights import release_state_dict

from mmvis_cl.checkpoints.ctvis_checkpoint import (
    ctvis_structure,
    from_ctvis,
    is_ctvis,
    is_our_mask_former,
    to_ctvis,
)
from mmvis_cl.checkpoints.release_checkpoint import is_release
from mmvis_cl.checkpoints.releases import release_like, release_of
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS

QUERIES = 'sem_seg_head.predictor.'


@pytest.fixture
def release():
    keys = json.loads(str(load('ctvis_r50_small')['ref_keys_json']))
    weights = release_state_dict(keys)
    return weights | {'criterion.empty_weight': torch.tensor([1.0] * 5 + [0.1])}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_there_and_back(release):
    ours, rest = from_ctvis(release)
    assert list(rest) == ['criterion.empty_weight']
    model = build('ctvis_r50_small', load('ctvis_r50_small'))
    model.load_state_dict(ours)  # nothing missing, nothing unexpected
    assert same(to_ctvis(ours, rest), release)
    assert same(to_ctvis(model.state_dict(), rest), release)


def test_which_release_it_is(release):
    ours = from_ctvis(release)[0]
    assert is_ctvis(release) and not is_ctvis(ours) and not is_release(release)
    assert is_our_mask_former(ours) and not is_our_mask_former(release)
    assert release_of(release).name == "CTVIS's release" and release_of(ours) is None
    assert release_like(ours).tool == 'ctvis_to_mmvis_cl.py' and release_like(release) is None


@pytest.mark.parametrize('old_name', [False, True])
def test_mask2formers_own_checkpoint(release, old_name):
    """No embeddings, 80 classes; the first ones call the queries' content another name."""
    coco = {name: value for name, value in release.items() if 'reid_embed' not in name}
    coco[f'{QUERIES}class_embed.weight'] = torch.rand(81, 64)
    coco[f'{QUERIES}class_embed.bias'] = torch.rand(81)
    if old_name:
        coco[f'{QUERIES}static_query.weight'] = coco.pop(f'{QUERIES}query_feat.weight')
    ours, rest = from_ctvis(coco)
    assert not any(name.startswith('embed_head') for name in ours)
    queries = ours['detector.panoptic_head.query_feat.weight']
    assert torch.equal(queries, release[f'{QUERIES}query_feat.weight'])
    assert same(to_ctvis(ours, rest), coco)
    model = build('ctvis_r50_small', load('ctvis_r50_small'))
    fits = {k: v for k, v in ours.items() if 'cls_embed' not in k}
    missing, unexpected = model.load_state_dict(fits, strict=False)
    assert not unexpected
    assert {k.rpartition('.')[0] for k in missing} == {
        'detector.panoptic_head.cls_embed',
        *(f'embed_head.embed.{i}' for i in (0, 2, 4)),
    }


@pytest.mark.parametrize('config', ['r50_ytvis19', 'swin-l_ovis'])
def test_full_size(config):
    cfg = Config.fromfile(ROOT.parent / 'configs' / 'ctvis' / f'{config}.py')
    cfg.model.detector.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith('batches_tracked')}
    release = to_ctvis(state)
    structure = ctvis_structure(release, release=True)
    assert (structure.pixel_layers, structure.decoder_layers) == (6, 9)
    assert structure.blocks == ((2, 2, 18, 2) if config.startswith('swin') else (3, 4, 6, 3))
    back, rest = from_ctvis(release)
    assert same(back, state) and not rest
    swin = [name for name in release if 'downsample.reduction' in name]
    for name in swin:  # the four patches one after the other, not channel by channel
        ours = state[f'detector.{name.replace("layers", "stages")}']
        assert not torch.equal(release[name], ours)
        channels = ours.shape[1] // 4
        order = release[name].view(-1, 2, 2, channels)  # column, row, channel
        assert torch.equal(order[:, 1, 0], ours.view(-1, channels, 2, 2)[:, :, 0, 1])
    assert len(swin) == (3 if config.startswith('swin') else 0)
    norms = {name for name in release if name.startswith('backbone.norm')}
    assert len(norms) == (8 if swin else 0)


def test_incomplete_and_foreign_state_dicts(release):
    del release[f'{QUERIES}reid_embed.layers.1.bias']
    release['sem_seg_head.extra.weight'] = torch.zeros(1)
    with pytest.raises(InputError, match="not a complete checkpoint of CTVIS's release") as error:
        from_ctvis(release)
    assert f'1 missing ({QUERIES}reid_embed.layers.1.bias)' in str(error.value)
    assert '1 unknown (sem_seg_head.extra.weight)' in str(error.value)
    assert '\n' not in str(error.value)
    with pytest.raises(InputError, match=r'the names are conv\.weight$'):
        from_ctvis({'conv.weight': torch.zeros(1)})
    ours = build('ctvis_r50_small', load('ctvis_r50_small')).state_dict()
    ours['detector.neck.conv.weight'] = torch.zeros(1)
    with pytest.raises(InputError, match=r'1 unknown .detector.neck.conv.weight'):
        to_ctvis(ours)
