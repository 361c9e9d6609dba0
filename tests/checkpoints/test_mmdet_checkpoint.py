"""mmdet's own detectors, built from its configs, as a start for ours."""

import re
from pathlib import Path

import mmdet
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT

from mmvis_cl.checkpoints.mmdet_checkpoint import from_mmdet
from mmvis_cl.errors import InputError
from mmvis_cl.models import GatherDeformableAttention
from mmvis_cl.registry import MODELS

MMDET_CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
OUR_CONFIGS = ROOT.parent / 'configs' / '_base_' / 'models'
REFINE = 'deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py'


def mmdet_config(path):
    cfg = Config.fromfile(MMDET_CONFIGS / path).model
    cfg.backbone.init_cfg = None
    return cfg


def build_mmdet(path=REFINE, **changes):
    cfg = mmdet_config(path)
    cfg.update(changes)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MMDET_MODELS.build(cfg)


def fill(model):
    """Weights that leave the signals alive through all layers, other ones in each layer."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            value.copy_(noise / value[0].numel() ** 0.5 if 'embed' not in name else noise)
        elif value.is_floating_point():
            value.copy_((1 if name.endswith(('weight', 'running_var')) else 0) + 0.1 * noise.abs())
    return model


@pytest.fixture(scope='module')
def theirs():
    return fill(build_mmdet()).eval()


def our_config(name='r50'):
    cfg = Config.fromfile(OUR_CONFIGS / f'contrastive_vis_{name}.py').model
    cfg.detector.backbone.init_cfg = None
    cfg.detector.bbox_head.num_classes = 80
    return cfg


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return MODELS.build(cfg)


def batch():
    inputs = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    samples = [
        DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=(96, 128)))
        for shape in ((96, 128), (80, 100))
    ]
    return inputs, samples


@torch.no_grad()
def test_same_scores_and_boxes_as_mmdets_detector(theirs):
    ours = build(our_config())
    for parameter in ours.parameters():
        parameter.data.fill_(1e3)
    missing, unexpected = ours.load_state_dict(from_mmdet(theirs.state_dict()), strict=False)
    for module in ours.modules():  # mmcv's arithmetic, to compare bit for bit
        if type(module) is GatherDeformableAttention:
            module.__class__ = MultiScaleDeformableAttention
    assert not unexpected
    assert {'.'.join(name.split('.')[:-2]) for name in missing} <= {
        *('detector.mask_head', 'detector.mask_head.controller'),
        *('detector.mask_head.feat_convs', 'detector.mask_head.fuse_convs'),
        'embed_head.embed',
    }
    logits, boxes = theirs(*batch(), mode='tensor')
    states = ours.eval().detector.query_states(*batch())
    assert logits.shape == (6, 2, 300, 80) and logits.std() > 0.1 and boxes.std() > 0.01
    assert not torch.allclose(boxes[0], boxes[5], atol=1e-3)  # the layers refine
    assert torch.equal(states.logits, logits)
    assert torch.equal(states.boxes, boxes)


def test_names_of_the_image_network_alone(theirs):
    alone = from_mmdet(theirs.state_dict(), image_network=True)
    whole = from_mmdet(theirs.state_dict())
    assert [f'detector.{name}' for name in alone] == list(whole)
    model = build(our_config().detector)
    missing, unexpected = model.load_state_dict(alone, strict=False)
    assert not unexpected and all(name.startswith('mask_head.') for name in missing)


def first_layers(state, number):
    """The weights of a detector with so many decoder layers."""
    layer = re.compile(r'(?:decoder\.layers|bbox_head\.\w+_branches)\.(\d)\.')
    return {
        name: value
        for name, value in state.items()
        if not (match := layer.match(name)) or int(match[1]) < number
    }


def test_detectors_that_do_not_fit(theirs):
    state = theirs.state_dict()
    two_stage = build_mmdet(
        'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py'
    ).state_dict()
    with pytest.raises(InputError, match=r'with one stage, .* names missing \(query_embedding\.'):
        from_mmdet(two_stage)
    unrefined = build_mmdet(with_box_refine=False).state_dict()
    for layers in (6, 2):
        with pytest.raises(InputError, match=r'without box refinement'):
            from_mmdet(first_layers(unrefined, layers))
    partial = {name: value for name, value in state.items() if '_branches.5.' not in name}
    with pytest.raises(InputError, match=r'6 decoder layers, but 5 class and 5 box branches: the'):
        from_mmdet(partial)
    with pytest.raises(InputError, match=r'1 unknown \(memory_trans_fc\.bias\); --backbone'):
        from_mmdet(state | {'memory_trans_fc.bias': torch.zeros(1)})
    with pytest.raises(InputError, match=r"no name begins with 'backbone\.'"):
        from_mmdet({'layer1.0.weight': torch.zeros(1)}, backbone_only=True)


def test_a_detector_of_one_layer_cannot_tell_whether_it_refines(theirs):
    one_layer = first_layers(theirs.state_dict(), 1)
    assert from_mmdet(one_layer, image_network=True).keys() >= one_layer.keys()


@pytest.mark.parametrize(
    ('number', 'shown'), [(0, 'none'), (3, 'a, b, c'), (4, 'a, b, c, ...'), (5, 'a, b, c, ...')]
)
def test_three_names_of_another_model_are_shown(number, shown):
    with pytest.raises(InputError) as error:
        from_mmdet(dict.fromkeys('abcde'[:number], torch.zeros(1)), backbone_only=True)
    assert f'(the names are {shown})' in str(error.value)


def same_backbones(ours, theirs):
    """Whether the maps at strides 8, 16 and 32 are the same."""
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    ours.eval(), theirs.eval()  # which gives None for Swin
    with torch.no_grad():
        maps = ours(x), theirs(x)[-3:]
    return all(torch.equal(one, other) for one, other in zip(*maps, strict=True))


@pytest.fixture(params=['r50', 'swin-t'])
def mask2former(request, tmp_path):
    """mmdet's Mask2Former on the backbone: our name of it, its backbone, the checkpoint."""
    theirs = {
        'r50': 'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
        'swin-t': 'mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py',
    }[request.param]
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = fill(MMDET_MODELS.build(mmdet_config(theirs).backbone))
    state = {f'backbone.{name}': value for name, value in backbone.state_dict().items()}
    path = tmp_path / 'mask2former.pth'
    torch.save(dict(state_dict=state | {'panoptic_head.x': torch.zeros(2)}, meta={}), path)
    return request.param, backbone, path


def test_backbone_of_another_detector(mask2former):
    name, theirs, path = mask2former
    weights = torch.load(path, weights_only=True)['state_dict']
    found = from_mmdet(weights, backbone_only=True)
    assert found.keys() == {f'detector.{name}' for name in weights if 'head' not in name}
    in_tracker = {f'detector.{name}': value for name, value in weights.items()}
    assert from_mmdet(in_tracker, backbone_only=True).keys() == found.keys()

    ours = build(our_config(name))
    assert not same_backbones(ours.detector.backbone, theirs)
    _, unexpected = ours.load_state_dict(found, strict=False)
    # Mask2Former has a map at stride 4 as well
    norm = {f'detector.backbone.norm0.{p}' for p in ('weight', 'bias')}
    assert set(unexpected) == (norm if name == 'swin-t' else set())
    assert same_backbones(ours.detector.backbone, theirs)


def test_backbone_by_init_cfg_alone(mask2former):
    """What the README says for configs that shall load a backbone without a conversion."""
    name, theirs, path = mask2former
    cfg = our_config(name).detector.backbone
    cfg.init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    if name == 'swin-t':
        cfg.convert_weights = False
    ours = build(cfg)
    ours.init_weights()
    assert same_backbones(ours, theirs)
