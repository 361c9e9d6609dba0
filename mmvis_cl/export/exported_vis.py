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
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.registry import MODELS

from .runtimes import Runtime


class FileStates(NamedTuple):
    """What a file computes of B frames.

    Attributes:
        states (Tensor): (1, B, Q, E) embeddings.
        logits (Tensor): (1, B, Q, K).
        boxes (Tensor): (1, B, Q, 4) cx, cy, w, h over the unpadded size.
        centers (Tensor): (1, B, Q, 2).
        mask_features (Tensor): (B, F, H / 8, W / 8).
        mask_parameters (Tensor): (B, Q, P).
    """

    states: Tensor
    logits: Tensor
    boxes: Tensor
    centers: Tensor
    mask_features: Tensor
    mask_parameters: Tensor


class ExportedDetector(ImageNetwork, nn.Module):
    """An image network that is a file.

    Args:
        runtime (Runtime): runs it.
    """

    select_queries = MaskDeformableDETR.select_queries

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        description = runtime.description
        self.runtime = runtime
        self.test_cfg = ConfigDict(description.detector)
        self.num_classes = len(description.classes)
        # only draws: its own weights are in the file
        self.mask_head = DynamicMaskHead(4, **description.mask_head)

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> FileStates:
        """See :meth:`MaskDeformableDETR.query_states`.

        Raises:
            InputError: the frames are larger than those that the file takes.
        """
        description = self.runtime.description
        h, w = samples[0].img_shape[:2]
        if description.size is not None:
            height, width = description.size
            if h > height or w > width:
                raise InputError(
                    f'a frame is {h}x{w} in the network (height x width), the model file takes '
                    f'{height}x{width} at most; export one with --dynamic, or a larger --size'
                )
            inputs = F.pad(
                inputs[..., :height, :width],
                (0, max(width - inputs.shape[-1], 0), 0, max(height - inputs.shape[-2], 0)),
            )
        step = description.batch or len(inputs)
        found = []
        for part in inputs.split(step):
            rest = step - len(part)
            frames = torch.cat((part, part[-1:].expand(rest, -1, -1, -1))) if rest else part
            outputs = self.runtime(frames.contiguous().numpy(), np.array([h, w]))
            found.append([torch.from_numpy(output)[: len(part)] for output in outputs])
        logits, boxes, centers, embeds, features, parameters = (
            torch.cat(parts) for parts in zip(*found, strict=True)
        )
        return FileStates(
            embeds[None], logits[None], boxes[None], centers[None], features, parameters
        )

    def mask_logits(self, states: FileStates, image: int, index: Tensor, img_shape) -> Tensor:
        """See :meth:`MaskDeformableDETR.mask_logits`."""
        h, w = img_shape[:2]
        centers = states.centers[-1, image, index] * states.centers.new_tensor([w, h])
        parameters = states.mask_parameters[image, index]
        return self.mask_head.draw(states.mask_features[image], parameters, centers)


class ExportedVIS(ContrastiveVIS):
    """The video model of a file.

    Args:
        runtime (Runtime): runs it.
    """

    def __init__(self, runtime: Runtime) -> None:
        description = runtime.description
        preprocessor = dict(type='mmvis_cl.VISDataPreprocessor', **description.preprocessor)
        BaseMOTModel.__init__(self, data_preprocessor=preprocessor)
        self.detector = ExportedDetector(runtime)
        self.embed_head = nn.Identity()
        self.tracker = MODELS.build(description.tracker)
        self.test_cfg = ConfigDict(description.test_cfg)
        self.both_ways = False
        self.session = None
