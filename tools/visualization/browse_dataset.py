"""Draw what the network is fed: the frames of a sample side by side, after all transforms.

Pairs from videos and pseudo pairs from images alike: an object has the same colour in both frames.
What is black to the right of a frame or below it is the padding of the sample. Of a set of single
images each is drawn alone.
"""

import argparse
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from PIL import Image
from pycocotools import mask as mask_utils
from rich.progress import track

from mmvis_cl import compat
from mmvis_cl.config import CfgOptions, build_errors_in_one_line, check_names, load_config
from mmvis_cl.datasets import VISDataset
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.files import check_folder, whole_file
from mmvis_cl.registry import DATASETS
from mmvis_cl.visualization import draw_tracks


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=('train', 'val'), default='train')
    parser.add_argument('--num', type=int, default=10, help='number of samples to draw')
    parser.add_argument('--out-dir', default='work_dirs/browse_dataset', help='where the PNGs go')
    parser.add_argument('--seed', type=int, default=0, help='for the choice and the transforms')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, help='key=value overrides')
    return parser.parse_args()


def fed_frames(dataset: BaseDataset, index: int) -> list[tuple[np.ndarray, DetDataSample]]:
    """Gives (padded image (H, W, 3), RGB; data sample) for each frame of a sample."""
    if isinstance(dataset, VISDataset) and dataset.test_mode:
        # A test sample is a single frame; two of them show which identities go together.
        length = dataset.get_len_per_video(index)
        samples = [dataset[index, frame] for frame in (length // 3, 2 * length // 3)]
    else:
        samples = [dataset[index]]
    frames = []
    for sample in samples:
        inputs, data_sample = sample['inputs'], sample['data_samples']
        if isinstance(data_sample, DetDataSample):  # a single image
            frames.append((inputs, data_sample))
        else:
            frames.extend(zip(inputs, data_sample.video_data_samples, strict=True))
    return [
        (np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy()), data_sample)
        for image, data_sample in frames
    ]


def annotated_objects(data_sample: DetDataSample) -> tuple[np.ndarray, ...]:
    """Gives masks (n, h, w), boxes (n, 4), labels and ids of a test frame at the fed size.

    Test pipelines load no objects, but the annotations travel with the sample.
    """
    height, width = data_sample.img_shape
    instances = data_sample.instances
    masks = [
        mmcv.imresize(
            mask_utils.decode(instance['mask']),
            (width, height),
            interpolation='nearest',
            backend='pillow',
        )
        for instance in instances
    ]
    boxes = np.array([instance['bbox'] for instance in instances]).reshape(-1, 4)
    return (
        np.array(masks, np.uint8).reshape(-1, height, width),
        boxes * np.tile(data_sample.scale_factor, 2),
        np.array([instance['bbox_label'] for instance in instances], int),
        np.array([instance['instance_id'] for instance in instances], int),
    )


def draw(image: np.ndarray, data_sample: DetDataSample, classes: list[str]) -> np.ndarray:
    """Draws the objects of a frame, and a line that says which frame it is."""
    objects = data_sample.gt_instances
    if 'masks' in objects:
        masks, boxes = objects.masks.masks, objects.bboxes.numpy()
        labels = objects.labels.tolist()
        ids = objects.get('instances_ids', torch.arange(len(labels))).tolist()
    elif 'instances' in data_sample:
        masks, boxes, labels, ids = annotated_objects(data_sample)
    else:
        raise InputError(
            f'{data_sample.img_path}: the pipeline loads no annotations, so there is nothing to '
            'draw; use --split train'
        )
    height, width = image.shape[:2]
    masks = np.pad(masks, ((0, 0), (0, height - masks.shape[1]), (0, width - masks.shape[2])))
    picture = draw_tracks(image, masks, boxes, [classes[i] for i in labels], None, ids)
    line = np.zeros((20, picture.shape[1], 3), np.uint8)
    if 'video_id' in data_sample:
        name = f'video {data_sample.video_id}, frame {data_sample.frame_id}'
    else:
        name = f'image {data_sample.img_id}'
    text = f'{name}, {data_sample.img_shape[1]}x{data_sample.img_shape[0]}' + (
        ', flipped' if data_sample.get('flip', False) else ''
    )
    cv2.putText(line, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    return np.vstack([line, picture])


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, None, 'none')
    check_names(cfg)
    compat.set_up_in_tool(cfg.get('custom_imports'))
    init_default_scope(cfg.get('default_scope', 'mmvis_cl'))
    loader = cfg.get(f'{args.split}_dataloader')
    if loader is None:
        raise InputError(f'{args.config}: has no {args.split}_dataloader; try the other --split')
    with build_errors_in_one_line(cfg):
        dataset = DATASETS.build(loader.dataset)

    out_dir = Path(args.out_dir)
    check_folder(out_dir)
    np.random.seed(args.seed)
    # Every video or image once before any is drawn a second time.
    rounds = -(-args.num // len(dataset))
    order = np.concatenate([np.random.permutation(len(dataset)) for _ in range(rounds)])
    for number, index in enumerate(track(order[: args.num], description='drawing')):
        pictures = [
            draw(image, data_sample, dataset.metainfo['classes'])
            for image, data_sample in fed_frames(dataset, int(index))
        ]
        gap = np.full((pictures[0].shape[0], 6, 3), 255, np.uint8)
        sheet = np.hstack([pictures[0], *(part for p in pictures[1:] for part in (gap, p))])
        with whole_file(out_dir / f'{args.split}_{number:03d}.png', 'wb') as file:
            Image.fromarray(sheet).save(file, 'PNG')
    print(f'{args.num} samples are in {out_dir}')


if __name__ == '__main__':
    with one_line_errors():
        main()
