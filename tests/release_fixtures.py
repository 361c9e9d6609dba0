"""The measured networks of the authors' release, with weights made from their names."""

import json
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from synth_weights import release_state_dict

from mmvis_cl.checkpoints.ctvis_checkpoint import from_ctvis, is_ctvis
from mmvis_cl.checkpoints.release_checkpoint import from_release
from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parent


def load(name: str) -> dict[str, np.ndarray]:
    """The fixture ``name``."""
    with np.load(ROOT / 'data' / f'{name}.npz') as fixture:
        return dict(fixture)


def build(config: str, fixture: dict) -> torch.nn.Module:
    """The model of ``tests/configs/<config>.py`` with the fixture's weights, in eval mode."""
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(Config.fromfile(ROOT / 'configs' / f'{config}.py').model)
    weights = release_state_dict(json.loads(str(fixture['ref_keys_json'])))
    rename = from_ctvis if is_ctvis(weights) else from_release
    model.load_state_dict(rename(weights)[0])
    return model.eval()


def frame_sample(shape: tuple[int, int], **instances) -> DetDataSample:
    """A data sample of an unresized frame of ``shape`` (h, w)."""
    sample = DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))
    if instances:
        sample.gt_instances = InstanceData(**instances)
    return sample


def track_sample(frames: list[DetDataSample]) -> TrackDataSample:
    """A data sample of some frames."""
    sample = TrackDataSample()
    sample.video_data_samples = frames
    return sample


def bgr(frames: np.ndarray) -> torch.Tensor:
    """RGB frames (T, H, W, 3) as the data pipeline gives them: BGR uint8 (T, 3, H, W)."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).flip(1).contiguous()


def video_batch(fixture: dict) -> dict:
    """The fixture's test frames as one video."""
    frames = fixture['frames']
    samples = [frame_sample(frames.shape[1:3]) for _ in frames]
    return dict(inputs=[bgr(frames)], data_samples=[track_sample(samples)])


def training_batch(fixture: dict) -> dict:
    """The fixture's two training pairs; an object absent from a frame has no entry in it."""
    shape = tuple(fixture['train_mask_shape'])
    masks = np.unpackbits(fixture['train_masks'])[: np.prod(shape)].reshape(shape)
    h, w = shape[-2:]
    samples = []
    for i, ids in enumerate(fixture['train_ids']):
        seen = ids >= 0
        samples.append(
            frame_sample(
                (h, w),
                bboxes=torch.from_numpy(fixture['train_boxes'][i][seen]),
                labels=torch.from_numpy(fixture['train_labels'][i // 2][seen]),
                masks=BitmapMasks(masks[i][seen], h, w),
                instances_ids=torch.from_numpy(ids[seen]),
            )
        )
    frames = fixture['train_frames']
    return dict(
        inputs=[bgr(frames[:2]), bgr(frames[2:])],
        data_samples=[track_sample(samples[:2]), track_sample(samples[2:])],
    )


def draw_norms(model: torch.nn.Module) -> None:
    """Give batch norms values that change something."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
