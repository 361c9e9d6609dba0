"""From the release's names to ours and back, bit for bit."""

import json

import pytest
import torch
from mmdet.models.backbones.swin import WindowMSA
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT, build, load
from synth_weights import release_state_dict

from mmvis_cl.checkpoints.release_checkpoint import (
    from_release,
    is_release,
    structure_of,
    to_release,
)
from mmvis_cl.checkpoints.renaming import window_index
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS

CONFIGS = ROOT.parent / 'configs' / 'vis_cl'


@pytest.fixture(params=['r50', 'swin'])
def network(request):
    return request.param


@pytest.fixture
def release(network):
    keys = json.loads(str(load(f'idol_{network}_hidden64')['ref_keys_json']))
    return release_state_dict(keys)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_there_and_back(network, release):
    ours, rest = from_release(release)
    model = build(f'release_{network}_hidden64', load(f'idol_{network}_hidden64'))
    model.load_state_dict(ours)  # nothing missing, nothing unexpected
    assert is_release(release) and not is_release(ours)
    assert same(to_release(ours, rest), release)
    # and of a model that holds the weights, with its counters of batches
    assert same(to_release(model.state_dict(), rest), release)


def test_release_that_shares_its_box_branches_needs_no_rest(network, release):
    for name in release:  # as in a published file, where both names are of one tensor
        if '.decoder.bbox_embed.' in name:
            release[name] = release[name.replace('.transformer.decoder.bbox_embed', '.bbox_embed')]
    ours, rest = from_release(release)
    backbone = 'detr.detr.backbone.0.backbone.'
    assert {name for name, value in rest.items() if value is not None} == (
        {f'{backbone}norm0.weight', f'{backbone}norm0.bias'} if network == 'swin' else set()
    )
    assert same(to_release(ours, rest), release)


@pytest.mark.parametrize('config', ['r101_ytvis19', 'swin-l_ovis'])
def test_full_size(config):
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    cfg.model.detector.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.detector.level_embed)  # else what is in memory, perhaps NaN
    state = {k: v for k, v in model.state_dict().items() if not k.endswith('batches_tracked')}
    release = to_release(state)
    structure = structure_of(release, release=True)
    assert (structure.encoder_layers, structure.decoder_layers) == (6, 6)
    assert structure.blocks == ((2, 2, 18, 2) if config.startswith('swin') else (3, 4, 23, 3))
    assert not is_release(state) and is_release(release)
    back, rest = from_release(release)
    assert same(back, state) and not rest
    model.load_state_dict(back)


@pytest.mark.parametrize('window', [1, 3, 7, 12])
def test_window_index_is_mmdets(window):
    attention = WindowMSA(embed_dims=4, num_heads=2, window_size=(window, window))
    index = window_index(attention.relative_position_bias_table, 'table')
    assert torch.equal(index, attention.relative_position_index)


def test_index_of_a_published_swin_is_kept_and_checked():
    keys = json.loads(str(load('idol_swin_hidden64')['ref_keys_json']))
    release = release_state_dict(keys)
    without = from_release(release)[0]
    for name in [name for name, *_ in keys if 'relative_position_index' in name]:
        table = release[name.replace('index', 'bias_table')]
        release[name] = window_index(table, name)
    ours, rest = from_release(release)
    assert same(ours, without) and not any('index' in name for name in rest)
    assert same(to_release(ours, rest), release)

    release[name] = release[name].T.contiguous()
    with pytest.raises(InputError, match=f'{name} is not the index of a window of 7x7'):
        from_release(release)


def test_other_versions_of_swin():
    keys = json.loads(str(load('idol_swin_hidden64')['ref_keys_json']))
    backbone = 'detr.detr.backbone.0.backbone.'
    release = {
        name: value
        for name, value in release_state_dict(keys).items()
        if not name.startswith((f'{backbone}patch_embed.norm', f'{backbone}norm0'))
    }
    release[f'{backbone}absolute_pos_embed'] = torch.rand(1, 24, 56, 56)
    ours, rest = from_release(release)
    assert 'detector.backbone.patch_embed.norm.weight' not in ours
    assert torch.equal(
        ours['detector.backbone.absolute_pos_embed'], release[f'{backbone}absolute_pos_embed']
    )
    assert same(to_release(ours, rest), release)


def test_incomplete_and_foreign_state_dicts(network, release):
    del release['detr.reid_embed_head.layers.1.bias']
    release['detr.extra.weight'] = torch.zeros(1)
    with pytest.raises(InputError) as error:
        from_release(release)
    assert '1 missing (detr.reid_embed_head.layers.1.bias)' in str(error.value)
    assert '1 unknown (detr.extra.weight)' in str(error.value)
    assert '\n' not in str(error.value)

    with pytest.raises(InputError, match=r'the names are conv\.weight$'):
        from_release({'conv.weight': torch.zeros(1)})
    headless = {k: v for k, v in release.items() if 'class_embed' not in k and 'extra' not in k}
    with pytest.raises(InputError, match=r'7 missing \(detr.detr.class_embed.0.bias'):
        from_release(headless)


@pytest.mark.parametrize('part', ['.backbone.', '.transformer.'])
def test_a_part_of_a_release(release, part):
    with pytest.raises(InputError, match=r'^not the weights of this model'):
        from_release({name: value for name, value in release.items() if part in name})


@pytest.mark.parametrize(('number', 'shown'), [(5, 'a, b, c, d, e'), (6, 'a, b, c, d, e, ...')])
def test_five_names_of_another_model_are_shown(number, shown):
    with pytest.raises(InputError) as error:
        from_release(dict.fromkeys('abcdef'[:number], torch.zeros(1)))
    assert str(error.value).endswith(f'; the names are {shown}')


def test_incomplete_resnet():
    keys = json.loads(str(load('idol_r50_hidden64')['ref_keys_json']))
    release = release_state_dict(keys)
    partial = {k: v for k, v in release.items() if '.res4.5.' not in k}
    with pytest.raises(InputError, match=r'3-4-5-3 blocks .* as no ResNet has .* incomplete'):
        from_release(partial)


def test_damaged_window_table():
    with pytest.raises(InputError, match='table has 168 rows, which no square window has'):
        window_index(torch.zeros(168, 2), 'table')
    with pytest.raises(InputError, match='table has 144 rows'):
        window_index(torch.zeros(144, 2), 'table')


def test_model_that_the_release_does_not_have():
    model = build('release_r50_hidden64', load('idol_r50_hidden64'))
    state = model.state_dict()
    state['detector.backbone.stem.0.weight'] = torch.zeros(1)
    with pytest.raises(InputError, match=r'1 unknown .detector.backbone.stem.0.weight'):
        to_release(state)
