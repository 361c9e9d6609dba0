"""What makes the image network faster once its weights are final."""

import itertools

from mmcv.cnn.bricks import Linear as MMCVLinear
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.backbones import ResNet
from torch import channels_last, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR

from .fused_bottleneck import fuse_bottlenecks
from .packed_linear import PackedLinear

_PLAIN = (nn.BatchNorm2d, nn.SyncBatchNorm)
_LINEAR = (nn.Linear, MMCVLinear)  # not their other subclasses, which do something else


def prepare_for_inference(
    model: nn.Module,
    fuse_bn: bool = True,
    convs_channels_last: bool | None = None,
    packed_linear: bool = True,
) -> None:
    """Change a model's image networks for inference; outputs stay the same but for rounding.

    Of the time of r50's backbone at 480x854 on a CPU fused norms and channels_last save 9 % each.

    Args:
        model (nn.Module): holds one or more :class:`MaskDeformableDETR`. Once its batch norms are
            fused it can neither be trained nor saved for training.
        fuse_bn (bool): put batch norms into the convolutions before them, and the sums and ReLUs of
            bottlenecks as well. Only in mmdet's ResNets, where a norm follows each convolution;
            what other backbones do in between is not known.
        convs_channels_last (bool, optional): let channels lie next to each other; if None, on the
            CPU only.
        packed_linear (bool): make linear layers :class:`PackedLinear`, together with the ReLU after
            them.
    """
    for module in model.modules():
        if not isinstance(module, MaskDeformableDETR):
            continue
        if packed_linear:
            _pack_linear(module)
        backbone = module.backbone
        norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
        if fuse_bn and isinstance(backbone, ResNet) and all(type(m) in _PLAIN for m in norms):
            fuse_conv_bn(backbone)
            fuse_bottlenecks(backbone)
        on_cpu = next(backbone.parameters()).device.type == 'cpu'
        if on_cpu if convs_channels_last is None else convs_channels_last:
            for part in (backbone, module.neck, module.mask_head):
                part.to(memory_format=channels_last)


def _pack_linear(model: nn.Module) -> None:
    for module in model.modules():
        if type(module) in _LINEAR:
            module.__class__ = PackedLinear
    for layers in model.modules():
        if isinstance(layers, nn.Sequential):
            for i, (linear, then) in enumerate(itertools.pairwise(layers)):
                if isinstance(linear, PackedLinear) and isinstance(then, nn.ReLU):
                    linear.relu, layers[i + 1] = True, nn.Identity()
