"""What makes the image network faster once its weights are final."""

import itertools
import os
import shutil

from mmcv.cnn.bricks import Linear as MMCVLinear
from mmcv.cnn.bricks.transformer import FFN
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.backbones import ResNet
from torch import channels_last, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._triton import has_triton

from mmvis_cl.errors import InputError
from mmvis_cl.models.dense_heads.mask_query_head import MaskQueryHead
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.detectors.query_mask_former import QueryMaskFormer
from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention
from mmvis_cl.models.layers.deformable_transformer import DeformableEncoder
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS

from .cast_weights import cast_weights_once
from .chunked_ffn import ChunkedFFN
from .fast_attention import FastDeformableAttention
from .fast_detr import FastDETR
from .fast_mask_former import FastMaskQueryHead, FastQueryMaskFormer
from .fast_vis import FastVIS
from .fused_bottleneck import fuse_bottlenecks
from .kept_geometry import KeptPointsEncoder
from .packed_linear import PackedLinear

_PLAIN = (nn.BatchNorm2d, nn.SyncBatchNorm)
_LINEAR = (nn.Linear, MMCVLinear)  # not their other subclasses, which do something else
# Of exactly these classes, for others may do something else: the same parameters and outputs.
_VIDEO_MODELS = {ContrastiveVIS: FastVIS}
_ATTENTIONS = {GatherDeformableAttention: FastDeformableAttention}
_NETWORKS = {
    MaskDeformableDETR: FastDETR,
    DeformableEncoder: KeptPointsEncoder,
    QueryMaskFormer: FastQueryMaskFormer,
    MaskQueryHead: FastMaskQueryHead,
    FFN: ChunkedFFN,
}
_RECORDED = {MaskDeformableDETR, FastDETR}  # image networks that can be recorded as a CUDA graph


def prepare_for_inference(
    model: nn.Module,
    fuse_bn: bool = True,
    convs_channels_last: bool = True,
    packed_linear: bool = True,
    compile_network: bool = False,
) -> None:
    """Change a model for inference; outputs and names of weights stay, but for rounding.

    Every part has a class of its own here, with the same parameters and another way to the same
    output. Of the time of r50's backbone at 480x854 on a CPU fused norms and channels_last save 9 %
    each.

    Args:
        model (nn.Module): a :class:`ContrastiveVIS`, or whatever else holds image networks
            (:class:`MaskDeformableDETR`, :class:`QueryMaskFormer`) or attentions of ours. Once its
            batch norms are fused it can neither be trained nor saved for training.
        fuse_bn (bool): put batch norms into the convolutions before them, and the sums and ReLUs of
            bottlenecks as well. Only in mmdet's ResNets, where a norm follows each convolution;
            what other backbones do in between is not known.
        convs_channels_last (bool): let channels lie next to each other.
        packed_linear (bool): make linear layers :class:`PackedLinear`, together with the ReLU after
            them.
        compile_network (bool): give backbone, neck, encoder and decoder to ``torch.compile``, of a
            :class:`QueryMaskFormer` backbone and pixel decoder; the first frames of each size wait
            for it, some ten seconds.

    Raises:
        InputError: ``test_cfg.cuda_graph`` is set for a network that cannot be recorded, or there
            is nothing that compiles.
    """
    for module in list(model.modules()):
        if getattr(module, 'test_cfg', None) and module.test_cfg.get('cuda_graph'):
            _check_can_be_recorded(module)
        _give_class(module, _VIDEO_MODELS | _ATTENTIONS)
        if not isinstance(module, (MaskDeformableDETR, QueryMaskFormer)):
            continue
        for part in module.modules():
            _give_class(part, _NETWORKS)
        if packed_linear:
            _pack_linear(module)
        backbone = module.backbone
        norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
        if fuse_bn and isinstance(backbone, ResNet) and all(type(m) in _PLAIN for m in norms):
            fuse_conv_bn(backbone)
            fuse_bottlenecks(backbone)
        if convs_channels_last:
            for part in _convolutional(module):
                part.to(memory_format=channels_last)
        if compile_network:
            _compile(module)
    if isinstance(model, ContrastiveVIS) and isinstance(
        model.detector, (MaskDeformableDETR, QueryMaskFormer)
    ):
        cast_weights_once(model.detector, model.test_cfg.get('autocast'))


def _give_class(module: nn.Module, classes: dict[type, type]) -> None:
    module.__class__ = classes.get(type(module), type(module))


def _check_can_be_recorded(model: nn.Module) -> None:
    kinds = type(model), type(getattr(model, 'detector', None))
    video_models = {*_VIDEO_MODELS, *_VIDEO_MODELS.values()}
    for kind, known in zip(kinds, (video_models, _RECORDED), strict=True):
        if kind not in known:
            raise InputError(
                f'test_cfg.cuda_graph: a {kind.__name__} cannot be recorded; leave it out, it is '
                'for a MaskDeformableDETR in a ContrastiveVIS'
            )


def _convolutional(detector: MaskDeformableDETR | QueryMaskFormer) -> list[nn.Module]:
    if isinstance(detector, QueryMaskFormer):
        return [detector.backbone, detector.panoptic_head.pixel_decoder]
    return [detector.backbone, detector.neck, detector.mask_head]


def _compile(detector: MaskDeformableDETR | QueryMaskFormer) -> None:
    on_cpu = next(detector.parameters()).device.type == 'cpu'
    compiler = os.environ.get('CXX', 'g++')
    if on_cpu and shutil.which(compiler) is None:
        raise InputError(
            f'torch.compile: there is no C++ compiler ({compiler}); install one, name it in CXX, '
            'or go without'
        )
    if not on_cpu and not has_triton():
        raise InputError('torch.compile: Triton is missing; pip install triton, or go without')
    if isinstance(detector, QueryMaskFormer):
        parts = _convolutional(detector)
    else:
        parts = [detector.backbone, detector.neck, detector.encoder, detector.decoder]
    for part in parts:
        part.compile(dynamic=False)


def _pack_linear(model: nn.Module) -> None:
    for module in model.modules():
        if type(module) in _LINEAR:
            module.__class__ = PackedLinear
    for layers in model.modules():
        if isinstance(layers, nn.Sequential):
            for i, (linear, then) in enumerate(itertools.pairwise(layers)):
                if isinstance(linear, PackedLinear) and isinstance(then, nn.ReLU):
                    linear.relu, layers[i + 1] = True, nn.Identity()
