"""A training step of a network on made-up pairs of frames."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvis_cl.models import ContrastiveVIS, OTAAssigner
from mmvis_cl.registry import MODELS


def random_batch(
    pairs: int, size: tuple[int, int], num_classes: int, objects: int, seed: int = 0
) -> dict:
    """Pairs of frames with ellipses on noise, as the data loader gives them.

    Args:
        pairs: How many pairs.
        size: Height and width of the frames, in pixels.
        num_classes: Labels are below it.
        objects: A frame; all of them are seen in both frames of a pair.
        seed: Of the random numbers.

    Returns:
        ``inputs``, uint8 tensors (2, 3, H, W), and ``data_samples``.
    """
    rng = np.random.default_rng(seed)
    h, w = size
    y, x = np.mgrid[:h, :w]
    inputs, data_samples = [], []
    for _ in range(pairs):
        frames = rng.integers(0, 256, (2, 3, h, w), dtype=np.uint8)
        center = rng.uniform(0.25, 0.75, (objects, 2)) * (w, h)
        radius = rng.uniform(0.08, 0.2, (objects, 2)) * (w, h)
        colour = rng.integers(0, 256, (objects, 3), dtype=np.uint8)
        labels = torch.from_numpy(rng.integers(0, num_classes, objects))
        samples = []
        for frame in frames:
            masks = np.zeros((objects, h, w), np.uint8)
            at = center + rng.uniform(-0.05, 0.05, (objects, 2)) * (w, h)
            for mask, (cx, cy), (rx, ry), rgb in zip(masks, at, radius, colour, strict=True):
                mask[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1] = 1
                frame[:, mask > 0] = rgb[:, None]
            masks = BitmapMasks(masks, h, w)
            sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
            sample.gt_instances = InstanceData(
                bboxes=masks.get_bboxes(HorizontalBoxes).tensor,
                labels=labels,
                masks=masks,
                instances_ids=torch.arange(objects),
            )
            samples.append(sample)
        inputs.append(torch.from_numpy(frames))
        pair = TrackDataSample()
        pair.video_data_samples = samples
        data_samples.append(pair)
    return dict(inputs=inputs, data_samples=data_samples)


def make_model(cfg: Config, device: str, per_object: int) -> ContrastiveVIS:
    """The network of a config with random weights, whose objects take so many queries a layer."""
    torch.manual_seed(0)
    backbone = cfg.model.detector.backbone
    backbone.init_cfg = None  # nothing is downloaded
    if 'pretrained' in backbone:
        backbone.pretrained = False
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    head = model.embed_head
    # all negatives: a loop over the objects draws other ones on a GPU
    head.loss_embed_aux.negatives_per_positive = model.detector.num_queries
    for assigner in (model.detector.bbox_head.assigner, head.selector.assigner):
        assigner.__class__, assigner.per_object = GenerousAssigner, per_object
    return model.to(device).train()


class GenerousAssigner(OTAAssigner):
    """Takes IoUs as they are with a trained network, so that an object gets several queries.

    Attributes:
        per_object (int): how many, where as many are free.
    """

    per_object: int

    def cost(self, *args: object) -> tuple[Tensor, Tensor]:
        cost, iou = super().cost(*args)
        return cost, torch.full_like(iou, (self.per_object + 0.5) / self.candidate_topk)


def make_optimizer(model: nn.Module, cfg: Config) -> OptimWrapper:
    """The config's, at a rate of 0: the weights stay, and so do the losses."""
    wrapper = copy.deepcopy(cfg.optim_wrapper)
    wrapper.optimizer.lr = 0.0
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return build_optim_wrapper(model, wrapper)


def forward(model: ContrastiveVIS, batch: dict, amp: bool) -> dict[str, Tensor]:
    """The losses of a batch, in bfloat16 where that is harmless if ``amp``."""
    with torch.autocast(next(model.parameters()).device.type, torch.bfloat16, enabled=amp):
        data = model.data_preprocessor(copy.copy(batch), training=True)
        return model(**data, mode='loss')


def step(
    model: ContrastiveVIS,
    optimizer: OptimWrapper,
    batch: dict,
    amp: bool,
    lap: Callable[[str], None] = lambda part: None,
) -> None:
    """One step; ``lap`` is called with the name of each part when it is done."""
    loss, _ = model.parse_losses(forward(model, batch, amp))
    lap('forward')
    optimizer.backward(loss)
    lap('backward')
    optimizer.step()
    optimizer.zero_grad()
    lap('clipping, AdamW')
