"""Our head of Mask2Former is mmdet's: the same names of weights, outputs and losses."""

import pytest
import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvis_cl.models import MaskQueryHead

H, W = 64, 96
CHANNELS = [8, 12, 16, 20]


def mmdets_config():
    """mmdet's published one, small."""
    model = get_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').model
    head = model.panoptic_head
    head.pop('type')
    head.update(
        in_channels=CHANNELS,
        feat_channels=32,
        out_channels=32,
        num_queries=6,
        num_things_classes=3,
        train_cfg=model.train_cfg,
    )
    head.train_cfg.num_points = 64
    head.loss_cls.class_weight = [1.0] * 3 + [0.1]
    pixels, decoder = head.pixel_decoder, head.transformer_decoder
    for positions in (head.positional_encoding, pixels.positional_encoding):
        positions.num_feats = 16
    pixels.encoder.num_layers, decoder.num_layers = 2, 3
    for layer, dims in ((pixels.encoder.layer_cfg, 48), (decoder.layer_cfg, 40)):
        for name, part in layer.items():
            part.embed_dims = 32
            if name == 'ffn_cfg':
                part.feedforward_channels = dims
    return head


@pytest.fixture(scope='module')
def heads():
    config = mmdets_config()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = Mask2FormerHead(**config)
        ours = MaskQueryHead(
            num_classes=3,
            in_channels=CHANNELS,
            embed_dims=32,
            encoder_ffn_dims=48,
            decoder_ffn_dims=40,
            num_encoder_layers=2,
            num_decoder_layers=3,
            num_queries=6,
            train_cfg=ConfigDict(config.train_cfg),
        )
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict())  # nothing missing, nothing unexpected
    return ours.eval(), theirs.eval()


def test_outputs_and_losses_are_mmdets(heads):
    torch.manual_seed(1)
    maps = [
        torch.randn(2, c, H // s, W // s) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]
    truth = []
    for labels in ([0, 2], [1]):
        masks = (torch.rand(len(labels), H, W) > 0.7).long()
        truth.append(InstanceData(labels=torch.tensor(labels), masks=masks))
    found = []
    for head in heads:
        scores, masks = head(maps, None)
        torch.manual_seed(2)
        found.append((scores, masks, head.loss_by_feat(scores, masks, truth, [{}, {}])))
    for (ours, theirs), tolerance in zip(zip(*found, strict=True), (1e-5, 1e-5, 1e-4), strict=True):
        assert len(ours) == len(theirs) > 3
        pairs = (
            zip(ours, theirs, strict=True)
            if isinstance(ours, list)
            else [(ours[name], theirs[name]) for name in theirs]
        )
        for one, other in pairs:
            torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def test_only_ours_sums_by_our_kernels(heads):
    ours, theirs = ({type(m).__name__ for m in head.pixel_decoder.modules()} for head in heads)
    assert 'GatherDeformableAttention' in ours - theirs
    assert 'MultiScaleDeformableAttention' in theirs - ours
