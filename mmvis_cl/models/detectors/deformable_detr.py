"""The image network: Deformable DETR whose queries also draw masks."""

from functools import partial
from typing import NamedTuple

import torch
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mmvis_cl.config.checks import check_keys
from mmvis_cl.models.layers.deformable_transformer import DeformableDecoder, DeformableEncoder
from mmvis_cl.models.pretrained import fitting_weights
from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import mask_logits_to_image

from .image_network import ImageNetwork


class QueryStates(NamedTuple):
    """What the transformer knows of B images after L decoder layers with Q queries.

    Attributes:
        states (Tensor): (L, B, Q, C) decoder states.
        logits (Tensor): (L, B, Q, K) class logits, or (1, B, Q, K) of the last layer.
        boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the unpadded image size, or (1, B, Q, 4).
        centers (Tensor): (L, B, Q, 2) centres of the boxes that each layer refines.
        maps (list[Tensor]): the encoder's output at strides 8, 16, 32, each (B, C, h, w).
    """

    states: Tensor
    logits: Tensor
    boxes: Tensor
    centers: Tensor
    maps: list[Tensor]

    def images(self, index: list[int]) -> 'QueryStates':
        """The states of some of the images."""
        return QueryStates(*(t[:, index] for t in self[:4]), [level[index] for level in self.maps])


@MODELS.register_module()
class MaskDeformableDETR(ImageNetwork, DeformableDETR):
    """mmdet's Deformable DETR with box refinement, OTA matching and dynamic masks.

    One stage; mmdet's encoder and decoder with our attention. Widths and counts are given here once
    and handed on to neck, transformer and heads.

    Args:
        backbone (dict): gives maps at strides 8, 16, 32.
        neck (dict): mmdet's ``ChannelMapper`` with ``num_outs`` levels; its ``out_channels`` is
            set.
        bbox_head (dict): a :class:`QueryHead`; its ``embed_dims`` is set.
        mask_head (dict): a :class:`DynamicMaskHead`; its ``embed_dims`` is set.
        embed_dims (int): channels C of the transformer.
        ffn_dims (int): channels inside its feed-forward networks.
        num_encoder_layers (int): encoder layers.
        num_decoder_layers (int): decoder layers, each with class and box branches of its own.
        num_queries (int): learned queries.
        num_heads (int): heads of every attention.
        num_points (int): sampling points a head and level.
        dropout (float): of attentions and feed-forward networks.
        attention (str): how deformable attention sums its samples: 'auto', the fastest way that
            is there; 'triton', Triton's kernels on a GPU; 'mmcv', mmcv's compiled op there;
            'compiled', the kernel in C on a CPU; 'gathered', in PyTorch, anywhere. Same results
            but for rounding.
        train_cfg (dict, optional): ``assigner``, an :class:`OTAAssigner`.
        test_cfg (dict): ``score_thr``, queries scoring more are kept (the best one if there is
            none); ``nms_iou_thr``, IoU of the class-aware box NMS; ``max_per_img``, most results an
            image (only for :meth:`predict` on single images).
        data_preprocessor (dict, optional): for use on its own, mmdet's ``DetDataPreprocessor``.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head: dict,
        mask_head: dict,
        embed_dims: int = 256,
        ffn_dims: int = 1024,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        num_queries: int = 300,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.1,
        attention: str = 'auto',
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        num_levels = neck['num_outs']
        # built anew at each use: mmdet's layers write into what they are given
        of_queries = partial(dict, embed_dims=embed_dims, num_heads=num_heads, dropout=dropout)
        deformable = partial(
            of_queries,
            num_levels=num_levels,
            num_points=num_points,
            batch_first=True,
            way=attention,
        )
        ffn = partial(dict, embed_dims=embed_dims, feedforward_channels=ffn_dims, ffn_drop=dropout)
        keys = ('score_thr', 'nms_iou_thr', 'max_per_img')
        check_keys('test_cfg of MaskDeformableDETR', test_cfg or {}, keys)
        super().__init__(
            backbone=backbone,
            neck=dict(neck, out_channels=embed_dims),
            encoder=dict(
                num_layers=num_encoder_layers,
                layer_cfg=dict(self_attn_cfg=deformable(), ffn_cfg=ffn()),
            ),
            decoder=dict(
                num_layers=num_decoder_layers,
                return_intermediate=True,
                layer_cfg=dict(
                    self_attn_cfg=of_queries(batch_first=True),
                    cross_attn_cfg=deformable(),
                    ffn_cfg=ffn(),
                ),
                post_norm_cfg=None,
            ),
            positional_encoding=dict(num_feats=embed_dims // 2, normalize=True, offset=-0.5),
            bbox_head=dict(bbox_head, embed_dims=embed_dims),
            num_queries=num_queries,
            num_feature_levels=num_levels,
            with_box_refine=True,
            as_two_stage=False,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.mask_head = MODELS.build(dict(mask_head, embed_dims=embed_dims))
        self.attention = attention

    @property
    def num_classes(self) -> int:
        """Classes that it tells apart."""
        return self.bbox_head.num_classes

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = DeformableEncoder(**self.encoder)
        self.decoder = DeformableDecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        self.query_embedding = nn.Embedding(self.num_queries, 2 * self.embed_dims)
        self.level_embed = nn.Parameter(torch.empty(self.num_feature_levels, self.embed_dims))
        self.reference_points_fc = nn.Linear(self.embed_dims, 2)

    def init_weights(self) -> None:
        """Initialise; ``init_cfg=dict(type='Pretrained', checkpoint=...)`` has the last word.

        That starts from a checkpoint of this network alone (with ``prefix='detector.'``, of a
        `ContrastiveVIS`). mmdet's own method would draw the transformer anew after loading it.

        Raises:
            InputError: the checkpoint is missing, or nothing in it fits.
        """
        source = self.init_cfg
        if not source or source['type'] != 'Pretrained':
            super().init_weights()
            return
        weights = fitting_weights(self, source['checkpoint'], source.get('prefix'))
        # its own initial weights need not be fetched if they are replaced anyway
        self.backbone.is_init = all(f'backbone.{k}' in weights for k in self.backbone.state_dict())
        self.init_cfg = None
        super().init_weights()
        self.init_cfg = source
        self.load_state_dict(weights, strict=False)

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> QueryStates:
        """Run backbone, neck, encoder and decoder, and the class and box branches.

        Args:
            inputs (Tensor): (B, 3, H, W) normalised images, padded at the right and the bottom.
            samples (list[DetDataSample]): B samples with ``img_shape``.
            last_layer (bool): logits and boxes of the last layer alone, without gradients of the
                boxes: all that is looked at in testing.

        Returns:
            QueryStates: of all B images.
        """
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=tuple(inputs.shape[-2:])))
        feats = self.extract_feat(inputs)
        encoder_inputs, decoder_inputs = self.pre_transformer(feats, samples)
        encoded = self.forward_encoder(**encoder_inputs)
        # bfloat16 has 256 steps between a half and one: boxes would be some pixels off
        with torch.autocast(inputs.device.type, enabled=False):
            encoded['memory'] = encoded['memory'].float()
            queries, _ = self.pre_decoder(**encoded)
            decoded = self.forward_decoder(**decoder_inputs, **queries)
            head = self.bbox_head.last_layer if last_layer else self.bbox_head
            logits, boxes = head(decoded['hidden_states'], decoded['references'])

        shapes = [feat.shape[-2:] for feat in feats]
        levels = encoded['memory'].split([h * w for h, w in shapes], dim=1)
        maps = [m.transpose(1, 2).unflatten(2, s) for m, s in zip(levels[:3], shapes, strict=False)]
        centers = torch.stack([r[..., :2] for r in decoded['references'][:-1]])
        return QueryStates(decoded['hidden_states'], logits, boxes, centers, maps)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of single images (no embeddings); see :meth:`loss_of_states`."""
        states = self.query_states(batch_inputs, batch_data_samples)
        return self.loss_of_states(states, batch_data_samples)[0]

    def loss_of_states(
        self, states: QueryStates, samples: SampleList
    ) -> tuple[dict[str, Tensor], list[OTAMatch]]:
        """Class, box and mask losses of every layer, and the matching they rest on.

        Args:
            states (QueryStates): of B images.
            samples (list[DetDataSample]): B samples with ``gt_instances`` (bboxes, labels, masks).

        Returns:
            tuple[dict, list[OTAMatch]]: the losses, and a match for each image.
        """
        matches = self.bbox_head.match(states.logits, states.boxes, samples)
        losses = self.bbox_head.loss(states.logits, states.boxes, matches, samples)
        features = self.mask_head.mask_features(states.maps)
        losses |= self.mask_head.loss(features, states.states, states.centers, matches, samples)
        return losses, matches

    def select_queries(self, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the confident queries of one image and drop duplicates.

        Args:
            logits (Tensor): (Q, K) of the last layer.
            boxes (Tensor): (Q, 4) cx, cy, w, h over the image size.

        Returns:
            tuple[Tensor, Tensor]: the kept queries' indices (n,), best first, and the class
            probabilities (n, K). n is at least 1.
        """
        prob = logits.float().sigmoid()
        scores, labels = prob.max(1)
        index = (scores > self.test_cfg['score_thr']).nonzero()[:, 0]
        if len(index) == 0:
            index = scores.argmax()[None]
        keep = batched_nms(
            bbox_cxcywh_to_xyxy(boxes[index].float()),
            scores[index],
            labels[index],
            self.test_cfg['nms_iou_thr'],
        )
        return index[keep], prob[index[keep]]

    def mask_logits(self, states: QueryStates, image: int, index: Tensor, img_shape) -> Tensor:
        """Mask logits of some queries of one image, from the last layer.

        Args:
            states (QueryStates): of B images.
            image (int): which image.
            index (Tensor): (n,) queries.
            img_shape (tuple[int, int]): h, w of the image without padding.

        Returns:
            Tensor: (n, H / 4, W / 4) over the padded input.
        """
        h, w = img_shape[:2]
        x, y = states.centers[-1, image, index].unbind(1)
        return self.mask_head(
            self.mask_features_of(states, image),
            states.states[-1, image, index],
            torch.stack((x * w, y * h), 1),
        )

    def mask_features_of(self, states: QueryStates, image: int) -> Tensor:
        """The mask features (feat_channels, H / 8, W / 8) of one image."""
        return self.mask_head.mask_features([m[image : image + 1] for m in states.maps])[0]

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Instances of single images, with dense masks.

        Of the queries that the box NMS leaves (the matching teaches several queries the same
        object) the ``max_per_img`` best (query, class) pairs are given, however low their score.

        Args:
            batch_inputs (Tensor): (B, 3, H, W).
            batch_data_samples (list[DetDataSample]): B samples.
            rescale (bool): give boxes and masks at ``ori_shape`` (else at ``img_shape``).

        Returns:
            list[DetDataSample]: with ``pred_instances``: bboxes (n, 4) x1 y1 x2 y2 in pixels,
            scores, labels, masks (n, h, w) bool, in order of score.
        """
        states = self.query_states(batch_inputs, batch_data_samples, last_layer=True)
        for i, sample in enumerate(batch_data_samples):
            prob, boxes = states.logits[-1, i].float().sigmoid(), states.boxes[-1, i]
            best, label = prob.max(1)
            kept = batched_nms(
                bbox_cxcywh_to_xyxy(boxes.float()), best, label, self.test_cfg['nms_iou_thr']
            )
            pairs = prob[kept].flatten()
            scores, top = pairs.topk(min(self.test_cfg.get('max_per_img', 100), len(pairs)))
            # a query with several classes among the top draws its mask once
            index, of = kept[top // prob.shape[1]].unique(return_inverse=True)
            out_shape = sample.ori_shape if rescale else sample.img_shape
            logits = self.mask_logits(states, i, index, sample.img_shape)
            sample.pred_instances = InstanceData(
                bboxes=boxes_in_pixels(boxes[index], out_shape)[of],
                scores=scores,
                labels=top % prob.shape[1],
                masks=mask_logits_to_image(logits, sample.img_shape, out_shape)[of],
            )
        return batch_data_samples

    def _forward(self, batch_inputs: Tensor, batch_data_samples=None) -> dict[str, Tensor]:
        """Raw outputs of the last layer, nothing selected; the images' own size where not told.

        Args:
            batch_inputs (Tensor): (B, 3, H, W).
            batch_data_samples (list[DetDataSample], optional): B samples with ``img_shape``.

        Returns:
            dict[str, Tensor]: ``pred_logits`` (B, Q, K), ``pred_boxes`` (B, Q, 4; cx cy w h over
            the unpadded size), ``pred_masks`` (B, Q, H / 4, W / 4), ``reference_points`` (B, Q, 2).
        """
        samples = batch_data_samples or unpadded_samples(batch_inputs)
        return self.raw_outputs(self.query_states(batch_inputs, samples), samples)

    def raw_outputs(self, states: QueryStates, samples: SampleList) -> dict[str, Tensor]:
        """The raw outputs of :meth:`_forward` from states that are there already."""
        every_query = torch.arange(states.logits.shape[2], device=states.logits.device)
        masks = [
            self.mask_logits(states, i, every_query, sample.img_shape)
            for i, sample in enumerate(samples)
        ]
        return dict(
            pred_logits=states.logits[-1],
            pred_boxes=states.boxes[-1],
            pred_masks=torch.stack(masks),
            reference_points=states.centers[-1],
        )


def unpadded_samples(inputs: Tensor) -> SampleList:
    """Data samples for images (B, 3, H, W) without padding or annotation."""
    shape = tuple(inputs.shape[-2:])
    meta = dict(img_shape=shape, ori_shape=shape)
    return [DetDataSample(metainfo=meta) for _ in inputs]


def boxes_in_pixels(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes as x1, y1, x2, y2 in pixels, cut at the image's border.

    Args:
        boxes (Tensor): (n, 4) cx, cy, w, h over the image size.
        shape (tuple[int, int]): h, w of the image.

    Returns:
        Tensor: (n, 4) float32.
    """
    h, w = shape[:2]
    size = torch.tensor([w, h, w, h], dtype=torch.float32, device=boxes.device)
    return torch.minimum((bbox_cxcywh_to_xyxy(boxes.float()) * size).clamp(min=0), size)
