"""Masks by convolutions whose weights each query writes itself (Tian et al., "CondInst")."""

import torch
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS

from .query_head import LayerMeans, layer_losses, matched_queries


def mlp(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    """Three linear layers with ReLU between them, Xavier weights and zero biases."""
    layers = nn.Sequential(
        nn.Linear(in_channels, hidden_channels),
        nn.ReLU(),
        nn.Linear(hidden_channels, hidden_channels),
        nn.ReLU(),
        nn.Linear(hidden_channels, out_channels),
    )
    for layer in layers[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layers


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """Upsample so that pixel i of the input falls on pixel i * factor of the output.

    The border is repeated where the output reaches past the outermost input pixels. This is the
    upsampling of CondInst, without which masks shift by half a pixel.

    Args:
        x (Tensor): (N, C, h, w).
        factor (int): >= 1.

    Returns:
        Tensor: (N, C, h * factor, w * factor).
    """
    if factor == 1:
        return x
    h, w = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode='replicate')
    x = F.interpolate(x, (factor * h + 1, factor * w + 1), mode='bilinear', align_corners=True)
    before = factor // 2
    x = F.pad(x, (before, 0, before, 0), mode='replicate')
    return x[..., : factor * h, : factor * w]


@MODELS.register_module()
class DynamicMaskHead(BaseModule):
    """Mask features shared by all queries, and three 1x1 convolutions of each query's own.

    Args:
        embed_dims (int): channels C of the encoder's maps and of the query states.
        feat_channels (int): channels of the mask features.
        dynamic_channels (int): channels between the dynamic convolutions.
        feat_stride (int): stride of the mask features, in pixels.
        out_stride (int): stride of the mask logits, in pixels.
        loss_mask (dict): element-wise loss of the logits.
        loss_dice (dict): loss of whole masks, mmdet's ``DiceLoss``.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        feat_channels: int = 8,
        dynamic_channels: int = 8,
        feat_stride: int = 8,
        out_stride: int = 4,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.feat_stride = feat_stride
        self.out_stride = out_stride
        self.fuse_convs = nn.ModuleList(
            nn.Conv2d(embed_dims, embed_dims, 3, padding=1) for _ in range(3)
        )
        self.feat_convs = nn.ModuleList(
            (
                nn.Conv2d(embed_dims, embed_dims // 4, 3, padding=1),
                nn.Conv2d(embed_dims // 4, feat_channels, 3, padding=1),
            )
        )
        for conv in (*self.fuse_convs, *self.feat_convs):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

        in_out = (
            (feat_channels + 2, dynamic_channels),
            (dynamic_channels, dynamic_channels),
            (dynamic_channels, 1),
        )
        self.weight_shapes = [(c_out, c_in) for c_in, c_out in in_out]
        self.split_sizes = [i * o for i, o in in_out] + [o for _, o in in_out]
        self.controller = mlp(embed_dims, embed_dims, sum(self.split_sizes))
        self.loss_mask = MODELS.build(
            loss_mask or dict(type='mmvis_cl.SigmoidFocalLoss', loss_weight=2.0)
        )
        self.loss_dice = MODELS.build(
            loss_dice or dict(type='mmdet.DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0)
        )

    def mask_features(self, maps: list[Tensor]) -> Tensor:
        """Fuse the encoder's maps top-down into the mask features.

        Args:
            maps (list[Tensor]): the encoder's output at strides 8, 16, 32, each (B, C, h, w).

        Returns:
            Tensor: (B, feat_channels, H / 8, W / 8).
        """
        fused = F.relu(self.fuse_convs[0](maps[-1]))
        for conv, finer in zip(self.fuse_convs[1:], maps[-2::-1], strict=True):
            fused = finer + F.interpolate(fused, finer.shape[-2:], mode='nearest')
            fused = F.relu(conv(fused))
        for conv in self.feat_convs:
            fused = F.relu(conv(fused))
        return fused

    def forward(self, features: Tensor, states: Tensor, centers: Tensor) -> Tensor:
        """Mask logits of some queries of one image.

        The first convolution sees the mask features and the offset from each pixel to the query's
        centre. The offset is linear in both, so that the centre's part moves into the bias and the
        features are shared by all queries, never repeated.

        Args:
            features (Tensor): (feat_channels, h, w) of :meth:`mask_features`.
            states (Tensor): (n, C) decoder states of the queries.
            centers (Tensor): (n, 2) x, y in pixels of the padded input.

        Returns:
            Tensor: (n, h * s, w * s) logits, s = feat_stride / out_stride.
        """
        # half precision cannot tell neighbouring pixels apart
        with torch.autocast(states.device.type, enabled=False):
            features, states, centers = features.float(), states.float(), centers.float()
            return self.draw(features, self.controller(states), centers)

    def draw(self, features: Tensor, parameters: Tensor, centers: Tensor) -> Tensor:
        """:meth:`forward` with the parameters of the queries' convolutions (n, P) in float32."""
        h, w = features.shape[-2:]
        n = len(parameters)
        params = parameters.split(self.split_sizes, dim=1)
        w1, w2, w3 = (p.view(n, *s) for p, s in zip(params[:3], self.weight_shapes, strict=True))
        b1, b2, b3 = (p[..., None] for p in params[3:])

        half = self.feat_stride // 2
        x = torch.arange(w, device=features.device, dtype=features.dtype) * self.feat_stride + half
        y = torch.arange(h, device=features.device, dtype=features.dtype) * self.feat_stride + half
        pixels = torch.stack((x.expand(h, w), y[:, None].expand(h, w))).flatten(1)
        shared = torch.cat((-pixels, features.flatten(1)))  # (2 + feat_channels, h * w)

        b1 = b1 + w1[..., :2] @ centers[..., None]
        # one product for all queries, their first weights stacked: (n * c, 2 + feat_channels)
        hidden = (w1.flatten(0, 1) @ shared).view(*b1.shape[:2], h * w) + b1
        hidden = torch.baddbmm(b2, w2, hidden.relu())
        logits = torch.baddbmm(b3, w3, hidden.relu())
        factor = self.feat_stride // self.out_stride
        return aligned_bilinear(logits.view(n, 1, h, w), factor)[:, 0]

    def loss(
        self,
        features: Tensor,
        states: Tensor,
        centers: Tensor,
        matches: list[OTAMatch],
        samples: SampleList,
    ) -> dict[str, Tensor]:
        """Focal and dice loss of the matched queries of every layer.

        Args:
            features (Tensor): (B, feat_channels, H / 8, W / 8).
            states (Tensor): (L, B, Q, C).
            centers (Tensor): (L, B, Q, 2) x, y over the unpadded image size: the centres of the
                boxes that the layers refine.
            matches (list[OTAMatch]): one an image.
            samples (list[DetDataSample]): B samples; ``gt_instances.masks`` of their unpadded size.

        Returns:
            dict[str, Tensor]: ``loss_mask``, ``loss_dice`` and the same with ``d0.``, ``d1.`` ...
            for the layers before the last, each divided by the layer's number of matched queries.
        """
        num_layers = len(states)
        layer, image, query, of = matched_queries(matches)
        sizes = [sample.img_shape[1::-1] for sample in samples]  # w, h
        centers = centers[layer, image, query] * centers.new_tensor(sizes)[image]
        states = states[layer, image, query]
        logits, targets = [], []
        per_image = torch.bincount(image, minlength=len(samples)).tolist()
        for feature, sample, state, center in zip(
            features, samples, states.split(per_image), centers.split(per_image), strict=True
        ):
            logits.append(self(feature, state, center))
            targets.append(self.mask_targets(sample.gt_instances.masks, logits[-1]))
        logits = torch.cat(logits).flatten(1)
        targets = torch.cat(targets).flatten(1)[of]

        per_layer = LayerMeans(layer, num_layers)
        focal = self.loss_mask(logits, targets).mean(1)
        dice = self.loss_dice(logits, targets, reduction_override='none')
        return layer_losses('loss_mask', per_layer(focal)) | layer_losses(
            'loss_dice', per_layer(dice)
        )

    def mask_targets(self, masks, like: Tensor) -> Tensor:
        """Sample ground truth masks at the centre of each stride-4 cell.

        Args:
            masks (BitmapMasks | Tensor): (n, h, w), of the unpadded image.
            like (Tensor): (m, H / 4, W / 4), gives size, device and dtype.

        Returns:
            Tensor: (n, H / 4, W / 4), 0 or 1; 0 in the padding.
        """
        if not isinstance(masks, Tensor):
            masks = torch.from_numpy(masks.masks)
        stride = self.out_stride
        sampled = masks[:, stride // 2 :: stride, stride // 2 :: stride].to(like)
        h, w = like.shape[-2:]
        return F.pad(sampled, (0, w - sampled.shape[-1], 0, h - sampled.shape[-2]))
