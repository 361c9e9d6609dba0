"""The video model whose image network is a file: the same association, masks and results."""

from typing import NamedTuple

import numpy as np
import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.models.dense_heads.dynamic_mask_head import DynamicMaskHead
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.detectors.image_network import ImageNetwork
from mmvis_cl.models.detectors.query_mask_former import QueryMaskFormer, mask_boxes
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.registry import MODELS

from .model_file import LEAST, MOST, MOST_FRAMES
from .network import OUTPUTS
from .runtimes import Runtime


class FileStates(NamedTuple):
    """What a file computes of B frames; see :mod:`mmvis_cl.export.network` for the shapes.

    Attributes:
        states (Tensor): (1, B, Q, E) embeddings.
        logits (Tensor): (1, B, Q, K), of which the sigmoid is the probability of each class.
        class_logits (Tensor): (B, Q, K), or (B, Q, K + 1) with background.
        boxes (Tensor): (1, B, Q, 4) cx, cy, w, h over the unpadded size; 0 where there are none.
        centers (Tensor): (B, Q, 2) over the same; 0 where there are none.
        mask_features (Tensor): (B, F, h, w).
        mask_parameters (Tensor): (B, Q, P).
        img_shape (tuple[int, int]): h, w of the frames without padding.
    """

    states: Tensor
    logits: Tensor
    class_logits: Tensor
    boxes: Tensor
    centers: Tensor
    mask_features: Tensor
    mask_parameters: Tensor
    img_shape: tuple[int, int]


class ExportedDetector(ImageNetwork, nn.Module):
    """An image network that is a file.

    Args:
        runtime (Runtime): runs it.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        description = runtime.description
        self.runtime = runtime
        self.test_cfg = ConfigDict(description.detector)
        self.num_classes = len(description.classes)

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> FileStates:
        """See :meth:`MaskDeformableDETR.query_states`.

        Raises:
            InputError: the frames are larger than those that the file takes, or it gives other
                outputs than it says.
        """
        description = self.runtime.description
        h, w = samples[0].img_shape[:2]
        if description.size is None:
            inputs = _within_bounds(inputs)
        else:
            inputs = _of_size(inputs, (h, w), description.size)
        step = description.batch or min(len(inputs), MOST_FRAMES)
        found = []
        for part in inputs.split(step):
            rest = (description.batch or len(part)) - len(part)
            frames = torch.cat((part, part[-1:].expand(rest, -1, -1, -1))) if rest else part
            arrays = self.runtime(frames.contiguous().numpy(), np.array([h, w]))
            found.append([torch.from_numpy(array)[: len(part)].float() for array in arrays])
        outputs = [torch.cat(parts) for parts in zip(*found, strict=True)]
        named = dict(zip(OUTPUTS[description.network], outputs, strict=True))
        if not self.has_shapes(named, len(inputs)):
            raise InputError(
                f'{self.runtime.name}: its outputs are not those of its description; export it '
                'again'
            )
        return self.states_of(named, (h, w))

    def has_shapes(self, outputs: dict[str, Tensor], frames: int) -> bool:
        """Whether outputs are those that the description promises."""
        raise NotImplementedError

    def states_of(self, outputs: dict[str, Tensor], img_shape: tuple[int, int]) -> FileStates:
        """The outputs of some frames of one size, as the video model wants them."""
        raise NotImplementedError


class ExportedDETR(ExportedDetector):
    """That of a :class:`MaskDeformableDETR`."""

    select_queries = MaskDeformableDETR.select_queries

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        # only draws: its own weights are in the file
        self.mask_head = DynamicMaskHead(4, **runtime.description.mask_head)

    def has_shapes(self, outputs: dict[str, Tensor], frames: int) -> bool:
        """See :meth:`ExportedDetector.has_shapes`."""
        queries = frames, outputs['logits'].shape[1]
        last = dict(
            logits=self.num_classes,
            boxes=4,
            centers=2,
            mask_parameters=sum(self.mask_head.split_sizes),
        )
        features = outputs['mask_features']
        return (
            all(outputs[key].shape == (*queries, size) for key, size in last.items())
            and outputs['embeds'].shape[:-1] == queries
            and features.dim() == 4
            and features.shape[:2] == (frames, self.mask_head.feat_convs[-1].out_channels)
        )

    def states_of(self, outputs: dict[str, Tensor], img_shape: tuple[int, int]) -> FileStates:
        """See :meth:`ExportedDetector.states_of`."""
        return FileStates(
            outputs['embeds'][None],
            outputs['logits'][None],
            outputs['logits'],
            outputs['boxes'][None],
            outputs['centers'],
            outputs['mask_features'],
            outputs['mask_parameters'],
            img_shape,
        )

    def mask_logits(self, states: FileStates, image: int, index: Tensor, img_shape) -> Tensor:
        """See :meth:`MaskDeformableDETR.mask_logits`."""
        h, w = img_shape[:2]
        centers = states.centers[image, index] * states.centers.new_tensor([w, h])
        parameters = states.mask_parameters[image, index]
        return self.mask_head.draw(states.mask_features[image], parameters, centers)


class ExportedMaskFormer(ExportedDetector):
    """That of a :class:`QueryMaskFormer`."""

    class_logits_are = QueryMaskFormer.class_logits_are
    select_queries = QueryMaskFormer.select_queries
    confident_queries = QueryMaskFormer.confident_queries

    def has_shapes(self, outputs: dict[str, Tensor], frames: int) -> bool:
        """See :meth:`ExportedDetector.has_shapes`."""
        features, parameters = outputs['mask_features'], outputs['mask_parameters']
        queries = frames, outputs['logits'].shape[1]
        return (
            outputs['logits'].shape == (*queries, self.num_classes + 1)
            and outputs['embeds'].shape[:-1] == queries
            and features.dim() == 4
            and parameters.shape == (*queries, features.shape[1])
            and len(features) == frames
        )

    def states_of(self, outputs: dict[str, Tensor], img_shape: tuple[int, int]) -> FileStates:
        """See :meth:`ExportedDetector.states_of`; boxes are made of masks where they are kept."""
        scores = outputs['logits']
        none = scores.new_zeros(())
        return FileStates(
            outputs['embeds'][None],
            scores.softmax(-1)[..., :-1].logit(eps=1e-6)[None],
            scores,
            none.expand(1, *scores.shape[:2], 4),
            none.expand(*scores.shape[:2], 2),
            outputs['mask_features'],
            outputs['mask_parameters'],
            img_shape,
        )

    def class_logits(self, states: FileStates, image: int, index: Tensor) -> Tensor:
        """See :meth:`QueryMaskFormer.class_logits`."""
        return states.class_logits[image, index]

    def mask_logits(self, states: FileStates, image: int, index: Tensor, img_shape) -> Tensor:
        """See :meth:`QueryMaskFormer.mask_logits`."""
        features = states.mask_features[image]
        drawn = states.mask_parameters[image, index] @ features.flatten(1)
        return drawn.unflatten(1, features.shape[-2:])

    def query_boxes(self, states: FileStates, image: int, index: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`QueryMaskFormer.query_boxes`."""
        return mask_boxes(masks, states.img_shape)


_DETECTORS = dict(MaskDeformableDETR=ExportedDETR, QueryMaskFormer=ExportedMaskFormer)


class ExportedVIS(ContrastiveVIS):
    """The video model of a file.

    Args:
        runtime (Runtime): runs it.
    """

    def __init__(self, runtime: Runtime) -> None:
        description = runtime.description
        preprocessor = dict(
            type='mmvis_cl.VISDataPreprocessor',
            mean=description.mean,
            std=description.std,
            bgr_to_rgb=True,
            pad_size_divisor=32,
        )
        BaseMOTModel.__init__(self, data_preprocessor=preprocessor)
        self.detector = _DETECTORS[description.network](runtime)
        self.embed_head = nn.Identity()  # what the file gives are embeddings
        self.tracker = MODELS.build(ConfigDict(description.tracker))
        self.test_cfg = ConfigDict(description.test_cfg)
        self.both_ways = False
        self.session = None


def _of_size(frames: Tensor, size: tuple[int, int], wanted: list[int]) -> Tensor:
    """Frames (B, 3, H, W) with more or less padding than they have."""
    height, width = wanted
    if size[0] > height or size[1] > width:
        raise InputError(
            f'a frame is {size[0]}x{size[1]} in the network (height x width), the model file takes '
            f'{height}x{width} at most; export one with --dynamic, or a larger --size'
        )
    return _padded(frames[..., :height, :width], height, width)


def _within_bounds(frames: Tensor) -> Tensor:
    """Frames (B, 3, H, W) of sides that a file of any size takes."""
    height, width = frames.shape[-2:]
    if max(height, width) > MOST:
        raise InputError(
            f'a frame has {height}x{width} pixels in the network (height x width), the model file '
            f'takes {MOST} at most; give smaller frames'
        )
    return _padded(frames, LEAST, LEAST)


def _padded(frames: Tensor, height: int, width: int) -> Tensor:
    below, right = height - frames.shape[-2], width - frames.shape[-1]
    return F.pad(frames, (0, max(right, 0), 0, max(below, 0)))
