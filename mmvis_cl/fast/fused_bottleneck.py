"""ResNet blocks whose convolutions add and apply the ReLU themselves, for inference on a CPU."""

import torch
from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import Bottleneck
from torch import Tensor, nn

from .onednn import inference_ops_take


def fuse_bottlenecks(backbone: ResNet) -> None:
    """Make blocks :class:`FusedBottleneck` once their norms are in their convolutions."""
    for stage in map(backbone.get_submodule, backbone.res_layers):
        for i, block in enumerate(stage):
            # the first block's input is another stage's output, which may not be overwritten
            if _is_plain(block) and (i > 0 or block.downsample is not None):
                block.__class__ = FusedBottleneck


def _is_plain(block: nn.Module) -> bool:
    return (
        type(block) is Bottleneck
        and not block.with_plugins
        and isinstance(block.relu, nn.ReLU)
        and all(type(conv) is nn.Conv2d for conv in (block.conv1, block.conv2, block.conv3))
        and all(type(n) is nn.Identity for n in (block.norm1, block.norm2, block.norm3))
    )


class FusedBottleneck(Bottleneck):
    """mmdet's block, which writes its output over its input where that has the same shape.

    6 % of the backbone of r50 at 480x854: sums and ReLUs do not read and write the maps again.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The block's output (B, C', H', W') of ``x`` (B, C, H, W)."""
        if not inference_ops_take(x):
            return super().forward(x)
        conv = torch.ops.mkldnn._convolution_pointwise
        add_conv = torch.ops.mkldnn._convolution_pointwise_.binary
        relu = 'relu', [], ''
        out = conv(x, *_arguments(self.conv1), *relu)
        out = conv(out, *_arguments(self.conv2), *relu)
        identity = x if self.downsample is None else self.downsample(x)
        return add_conv(identity, out, *_arguments(self.conv3), 'add', 1.0, *relu)


def _arguments(conv: nn.Conv2d) -> tuple:
    return conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
