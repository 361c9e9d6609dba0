"""Turn videos in YouTube-VIS format into images in COCO format, to train on images.

``python tools/dataset_converters/vis_to_coco.py IN.json OUT.json``
"""

import argparse
import json

from pycocotools import mask as mask_utils
from rich.progress import track

from mmvis_cl.datasets import VISDataset
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.files import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write every frame as an image, every mask as an annotation. Image paths and '
        'categories stay as they are.'
    )
    parser.add_argument('input', metavar='IN.json', help='annotations of videos')
    parser.add_argument('output', metavar='OUT.json', help='annotations of images to write')
    parser.add_argument(
        '--every', type=int, default=1, metavar='N', help='take every Nth frame of a video'
    )
    return parser.parse_args()


def images_of(path: str, every: int) -> dict:
    """The frames of some videos in COCO format.

    Args:
        path: Annotations in YouTube-VIS format.
        every: Take every n-th frame of a video.

    Returns:
        ``images``, ``annotations`` (RLE masks, boxes x y w h of the masks, in pixels) and
        ``categories``. An annotation's ``track_id`` is the id of its track.

    Raises:
        InputError: See `VISDataset`.
    """
    # The images are not read here, so that it does not matter where they are.
    dataset = VISDataset(ann_file=path, test_mode=True, absolute_paths=True, lazy_init=True)
    videos = dataset.load_data_list()
    categories = {label: cat_id for cat_id, label in dataset.cat2label.items()}
    images, annotations = [], []
    for video in track(videos, description='videos'):
        for image in video['images'][::every]:
            images.append(
                dict(
                    id=image['img_id'],
                    file_name=image['file_name'],
                    height=image['height'],
                    width=image['width'],
                )
            )
            for instance in image['instances']:
                mask = instance['mask']
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=image['img_id'],
                        category_id=categories[instance['bbox_label']],
                        track_id=instance['annotation_id'],
                        iscrowd=instance['ignore_flag'],
                        segmentation=mask,
                        area=int(mask_utils.area(mask)),
                        bbox=mask_utils.toBbox(mask).tolist(),
                    )
                )
    return dict(
        images=images,
        annotations=annotations,
        categories=[
            dict(id=categories[label], name=name)
            for label, name in enumerate(dataset.metainfo['classes'])
        ],
    )


def main() -> None:
    args = parse_args()
    with one_line_errors():
        if args.every < 1:
            raise InputError(f'--every {args.every}: must be at least 1')
        content = images_of(args.input, args.every)
        with whole_file(args.output) as file:
            file.write(json.dumps(content))
    print(
        f'{args.output}: {len(content["images"])} images, {len(content["annotations"])} annotations'
    )


if __name__ == '__main__':
    main()
