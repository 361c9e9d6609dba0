"""Every reader of the package, with good files to break: a target is a name here."""

import io
import json
import runpy
import socket
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from PIL import Image
from pycocotools import mask as mask_utils

sys.path.insert(0, str(Path(__file__).parents[1]))

import annotation_readers
import coco_files
from small_videos import write_video

from mmvis_cl.errors import InputError

CVAT = """<?xml version='1.0' encoding='utf-8'?>
<annotations><version>1.1</version><meta><task><id>7</id><name>street</name><size>3</size>
<start_frame>0</start_frame><stop_frame>2</stop_frame><labels><label><name>car</name></label>
</labels><original_size><width>32</width><height>24</height></original_size>
<source>clip.mp4</source></task><dumped>2024-01-01</dumped></meta>
<track id="0" label="car"><mask frame="0" keyframe="1" outside="0" rle="0, 3, 1, 3, 1, 3, 1"
left="4" top="2" width="4" height="3" z_order="0"></mask>
<polygon frame="1" keyframe="1" outside="0" points="1,1;9,1;9,9" z_order="0"></polygon>
<polygon frame="2" keyframe="1" outside="0" points="1,1;9,1;9,9" z_order="0"></polygon></track>
<track id="1" label="car"><polygon frame="0" keyframe="1" outside="0" points="1,1;9,1;9,9"
z_order="0"></polygon><polygon frame="1" keyframe="1" outside="1" points="1,1;9,1;9,9"
z_order="0"></polygon></track></annotations>"""
CONFIG = "model = dict(type='ContrastiveVIS', detector=dict(a=[1, (2, 3)], b=None))\nx = -1.5\n"


class Target(NamedTuple):
    """A reader.

    Attributes:
        files (Callable): gives its good files: name -> content.
        run (Callable): reads them from a folder; ends normally, or with an InputError.
        share (int): how often it is taken, for its speed.
    """

    files: Callable[[], dict[str, bytes]]
    run: Callable[[Path], object]
    share: int = 4


def dumped(content: object) -> bytes:
    return json.dumps(content).encode()


def image_bytes(kind: str = 'PNG', mode: str = 'RGB', **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)).convert(mode).save(
        file, kind, **options
    )
    return file.getvalue()


@cache
def videos() -> dict[str, bytes]:
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ('a.mp4', 'a.mkv'):
            write_video(f'{folder}/{name}', length=3, size=(24, 32))
            found[name] = Path(folder, name).read_bytes()
    return found


@cache
def checkpoints() -> dict[str, bytes]:
    content = dict(
        state_dict=dict(torch.nn.Linear(2, 3).state_dict()),
        meta=dict(iter=1, epoch=0, cfg=CONFIG, dataset_meta=dict(classes=('a', 'b'))),
        optimizer=dict(state={0: dict(step=torch.tensor(1.0))}),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1])), a=np.ones(3)),
    )
    found = {}
    for name, new in (('zip.pth', True), ('legacy.pth', False)):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=new)
        found[name] = file.getvalue()
    return found


def frames() -> dict[str, bytes]:
    return {f'frames/clip/{t}.png': image_bytes() for t in range(3)}


def of_annotations(name: str) -> Target:
    def files() -> dict[str, bytes]:
        return {
            'annotations.json': dumped(annotation_readers.make_annotations()),
            'results.json': dumped(annotation_readers.make_results()),
        }

    def run(folder: Path) -> None:
        images = folder / 'images'
        annotation_readers.write_images(images)
        out = folder / 'out'
        out.mkdir()
        at = dict(
            annotations=str(folder / 'annotations.json'),
            results=str(folder / 'results.json'),
            images=str(images),
            out=str(out),
        )
        outcome = annotation_readers.read(name, at)
        assert outcome.code in (0, 1, 2), outcome
        assert 'Traceback' not in '\n'.join(outcome.lines), outcome
        if outcome.code == 2:
            (line,) = (line for line in outcome.lines if line.startswith('error: '))
            raise InputError(line)

    return Target(files, run, share=1)


def zipped_results() -> dict[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('results.json', json.dumps(annotation_readers.make_results()))
    return {'results.zip': file.getvalue()}


def load_results(folder: Path) -> None:
    from mmvis_cl.evaluation import check_results_alone, load_results

    check_results_alone(load_results(folder / 'results.zip'), 'results.zip')


def coco_image_files() -> dict[str, bytes]:
    content = coco_files.coco_content()
    names = {image['file_name']: image_bytes() for image in content['images']}
    return {'coco.json': dumped(content), **names}


def coco_images(folder: Path) -> None:
    from mmvis_cl.datasets import COCOImages

    data = COCOImages(str(folder / 'coco.json'), data_prefix=dict(img=str(folder)), pipeline=[])
    for i in range(len(data)):
        data.get_data_info(i)


def coco_video(folder: Path) -> None:
    from mmvis_cl.datasets.converters.coco_video import read_coco_video

    read_coco_video(folder / 'coco_video.json', folder / 'frames')


def coco_video_files() -> dict[str, bytes]:
    square = annotation_readers.square
    images = [
        dict(id=t + 1, file_name=f'clip/{t}.png', height=24, width=32, video_id=1, frame_id=t)
        for t in range(3)
    ]
    tracks = [
        dict(id=t + 1, image_id=t + 1, category_id=1, instance_id=1, segmentation=square(2, t + 1))
        for t in range(3)
    ]
    content = dict(
        videos=[dict(id=1, name='clip', height=24, width=32)],
        images=images,
        annotations=tracks,
        categories=[dict(id=1, name='cat')],
    )
    return {'coco_video.json': dumped(content), **frames()}


def cvat(folder: Path) -> None:
    from mmvis_cl.datasets.converters.cvat_video import read_cvat

    read_cvat([folder / 'a.xml'], folder / 'frames')


def label_studio_files() -> dict[str, bytes]:
    keys = [
        dict(frame=t, enabled=True, x=5 * t, y=10, width=20, height=20, rotation=0, time=t / 10)
        for t in (1, 3)
    ]
    value = dict(framesCount=3, duration=0.3, sequence=keys, labels=['car'])
    region = dict(id='a', type='videorectangle', value=value, from_name='box', to_name='video')
    task = dict(
        id=1,
        data=dict(video='/data/upload/1/0123abcd-clip.mp4'),
        annotations=[dict(id=5, result=[region])],
        predictions=[],
    )
    return {'project.json': dumped([task]), **frames()}


def label_studio(folder: Path) -> None:
    from mmvis_cl.datasets.converters.label_studio import read_label_studio

    read_label_studio(folder / 'project.json', folder / 'frames', 'fill')


def mots_text_files() -> dict[str, bytes]:
    mask = np.zeros((24, 32), np.uint8, order='F')
    mask[4:20, 5:30] = 1
    counts = mask_utils.encode(mask)['counts'].decode()
    lines = [f'{t} {n} 2 24 32 {counts}' for t in (0, 1) for n in (2001, 2002)]
    images = {f'images/a/{t:06d}.png': image_bytes() for t in (0, 1)}
    return {'texts/a.txt': '\n'.join(lines).encode(), **images}


def mots_text(folder: Path) -> None:
    from mmvis_cl.datasets.converters.mots_text import read_mots_text

    read_mots_text(folder / 'texts', folder / 'images')


def mask_png_files() -> dict[str, bytes]:
    file = io.BytesIO()
    pixels = np.zeros((24, 32), np.uint8)
    pixels[2:9, 3:9], pixels[12:20, 3:9] = 1, 2
    Image.fromarray(pixels).save(file, 'PNG')
    masks = {f'masks/clip/{t}.png': file.getvalue() for t in range(3)}
    table = b'video,object,class\nclip,1,car\nclip,2,car\n'
    return {**frames(), **masks, 'classes.csv': table}


def mask_pngs(folder: Path) -> None:
    from mmvis_cl.datasets.converters.mask_png import read_mask_pngs
    from mmvis_cl.datasets.converters.object_classes import read_object_classes

    classes = read_object_classes(folder / 'classes.csv')
    read_mask_pngs(folder / 'frames', folder / 'masks', classes, drop_unlabelled=True)


def object_classes(folder: Path) -> None:
    from mmvis_cl.datasets.converters.object_classes import read_labels, read_object_classes

    for read, name in (
        (read_object_classes, 'a.csv'),
        (read_object_classes, 'a.json'),
        (read_object_classes, 'meta.json'),
        (read_labels, 'labels.txt'),
    ):
        with suppress(InputError):
            read(folder / name)


def object_class_files() -> dict[str, bytes]:
    meta = dict(videos=dict(clip=dict(objects={'1': dict(category='car', frames=['0'])})))
    return {
        'a.csv': b'object,class\n1,car\n2,"big, red car"\n',
        'a.json': dumped({'clip': {'1': 'car', '2': 'dog'}}),
        'meta.json': dumped(meta),
        'labels.txt': b'background\ncar\ndog\n',
    }


def images(folder: Path) -> None:
    from mmvis_cl.datasets.image_files import image_size, read_image

    for path in sorted(folder.iterdir()):
        for read in (read_image, lambda path: image_size(path, str(path))):
            with suppress(InputError):
                read(path)


def image_files() -> dict[str, bytes]:
    pages = [Image.new('L', (32, 24), 40 * i) for i in range(3)]
    found = {}
    for kind in ('GIF', 'TIFF', 'WEBP', 'PNG'):
        file = io.BytesIO()
        pages[0].save(file, kind, save_all=True, append_images=pages[1:])
        found[f'pages.{kind.lower()}'] = file.getvalue()
    return found | {
        'a.png': image_bytes(),
        'b.png': image_bytes(mode='I;16'),
        'c.png': image_bytes(mode='P'),
        'a.jpg': image_bytes('JPEG', quality=90),
        'a.bmp': image_bytes('BMP'),
        'f.tiff': image_bytes('TIFF', mode='F'),
        'a.webp': image_bytes('WEBP'),
    }


def video_files(folder: Path) -> None:
    from mmvis_cl.datasets.video_source import open_source

    for path in sorted(folder.iterdir()):
        with suppress(InputError), open_source(path) as source:
            for frame in source:
                assert frame.image.dtype == np.uint8 and frame.image.ndim == 3


def checkpoint(folder: Path) -> None:
    from mmvis_cl.checkpoints.reader import check_file, read_checkpoint, tensors_of

    for path in sorted(folder.iterdir()):
        for read in (
            lambda path: check_file(path),
            lambda path: tensors_of(read_checkpoint(path), path),
            lambda path: read_checkpoint(path, skip_objects=True),
        ):
            with suppress(InputError):
                read(str(path))


def safetensors_file() -> dict[str, bytes]:
    return {'a.safetensors': safetensors.torch.save({'weight': torch.arange(6.0).view(2, 3)})}


def pickle_programs() -> dict[str, bytes]:
    """The pickle inside of a checkpoint, to be broken without its archive's checksums."""
    with zipfile.ZipFile(io.BytesIO(checkpoints()['zip.pth'])) as archive:
        return {
            'data.pkl': next(archive.read(n) for n in archive.namelist() if n.endswith('data.pkl'))
        }


def pickle_program(folder: Path) -> None:
    from mmvis_cl.checkpoints.reader import read_checkpoint

    with (
        zipfile.ZipFile(io.BytesIO(checkpoints()['zip.pth'])) as whole,
        zipfile.ZipFile(folder / 'a.pth', 'w') as archive,
    ):
        for name in whole.namelist():
            given = folder / 'data.pkl'
            own = name.endswith('data.pkl')
            archive.writestr(name, given.read_bytes() if own else whole.read(name))
    read_checkpoint(str(folder / 'a.pth'), skip_objects=True)


def kept_config(folder: Path) -> None:
    from mmvis_cl.config.dumped import check_types_are_registered, config_of_text

    text = (folder / 'config.py').read_bytes().decode('latin1')
    check_types_are_registered(config_of_text(text, 'a.pth'), 'a.pth')


def option_texts(folder: Path) -> None:
    from mmengine.config import Config

    from mmvis_cl.category_ids import parse_category_ids
    from mmvis_cl.config.options import read_option, set_options

    text = (folder / 'option.txt').read_bytes().decode('latin1')
    with suppress(InputError):
        key, value = read_option(text)
        set_options(Config(dict(a=dict(b=[1, 2]), c='x')), {key: value})
    with suppress(InputError):
        parse_category_ids(text.split())


def masks(folder: Path) -> None:
    from mmvis_cl.datasets.segmentations import check_image_mask, to_rle
    from mmvis_cl.json_file import read_json
    from mmvis_cl.ops.rle_counts import pixels_covered

    for mask in _list(read_json(folder / 'masks.json')):
        for read in (to_rle, check_image_mask):
            with suppress(InputError):
                if isinstance(mask, (dict, list)):
                    read(mask, 24, 32, 'a mask')
        if isinstance(mask, dict) and isinstance(mask.get('counts'), str):
            with suppress(ValueError):
                pixels_covered(mask['counts'])


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def mask_files() -> dict[str, bytes]:
    runs = dict(size=[24, 32], counts=[700, 8, 60])
    outlines = [[1, 1, 9, 1, 9, 9.5]], [[1, 1, 2, 2, 3, 3, 4, 4]]
    return {'masks.json': dumped([annotation_readers.square(2, 3), runs, *outlines])}


def curve_files() -> dict[str, bytes]:
    records = [dict(loss=3.0 / t, loss_cls=1.0, lr=1e-4, epoch=1, step=t) for t in range(1, 12)]
    records.append({'youtube_vis/AP': 0.25, 'step': 11})
    lines = '\n'.join(map(json.dumps, records))
    # one record of a training alone: its structure is broken, not its bytes only
    return {
        'scalars.jsonl': lines.encode(),
        'record.json': dumped(dict(loss=2.0, loss_cls=0.5, epoch=1, step=12)),
    }


def curves(folder: Path) -> None:
    log = folder / 'a/vis_data/scalars.json'
    record = (folder / 'record.json').read_text(errors='replace').replace('\n', ' ')
    log.parent.mkdir(parents=True)
    log.write_bytes(
        (folder / 'scalars.jsonl').read_bytes() + f'\n{record}\n'.encode(errors='replace')
    )
    tool = curves_tool()
    tool['plot'](*tool['read_log'](folder), folder / 'curves.png')


@cache
def curves_tool() -> dict:
    return runpy.run_path(str(annotation_readers.TOOLS / 'analysis_tools/plot_curves.py'))


def lock_files() -> dict[str, bytes]:
    owner = dict(host='another', boot='1', process=2**22 - 1, since='2026-01-01 00:00:00')
    here = owner | dict(host=socket.gethostname())
    return {'other/.training.lock': dumped(owner), 'here/.training.lock': dumped(here)} | {
        'json/.training.lock.json': dumped(here)
    }


def training_lock(folder: Path) -> None:
    from mmvis_cl.engine.work_dir_lock import only_training_in

    (folder / 'json/.training.lock.json').rename(folder / 'json/.training.lock')
    for work_dir in ('other', 'here', 'json'):
        with suppress(InputError), only_training_in(folder / work_dir):
            pass


def long_videos(folder: Path) -> None:
    from mmvis_cl.evaluation.long_videos import long_video_ids

    for name in ('ids.json', 'videos.json', 'ids.txt'):
        with suppress(InputError):
            long_video_ids(annotation_readers.make_annotations(), str(folder / name))


def long_video_files() -> dict[str, bytes]:
    videos = dict(videos=[dict(id=1)])
    return {'ids.json': dumped([1]), 'videos.json': dumped(videos), 'ids.txt': b'1\n'}


def label_studio_masks() -> dict[str, bytes]:
    """As ``--out-label-studio`` writes them."""
    content = json.loads(label_studio_files()['project.json'])
    for entry in content[0]['annotations'][0]['result'][0]['value']['sequence']:
        entry.update(x=6.25, y=12.5, width=12.5, height=16.666667)
        entry['rle'] = annotation_readers.square(2, 3)['counts']
    return {'project.json': dumped(content), **frames()}


def tracked_video_files() -> dict[str, bytes]:
    content = json.loads(coco_video_files()['coco_video.json'])
    for place, annotation in enumerate(content['annotations']):
        annotation |= dict(track_id=place % 2, score=0.5)
    results = dumped(annotation_readers.make_results())
    return {'coco.json': dumped(content), 'results.json': results}


def tracked_videos(folder: Path) -> None:
    from mmvis_cl.evaluation.doubts import find_doubts
    from mmvis_cl.evaluation.tracked_videos import read_tracked_videos

    for name in ('coco.json', 'results.json'):
        with suppress(InputError):
            for video in read_tracked_videos(folder / name):
                assert find_doubts(video, 0.1).amount >= 0


TARGETS = {name: of_annotations(name) for name in annotation_readers.READERS} | {
    'zipped results': Target(zipped_results, load_results, 8),
    'COCO images': Target(coco_image_files, coco_images, 2),
    'COCO video': Target(coco_video_files, coco_video),
    'CVAT': Target(lambda: {'a.xml': CVAT.encode(), **frames()}, cvat),
    'Label Studio': Target(label_studio_files, label_studio),
    'mask PNGs': Target(mask_png_files, mask_pngs),
    'object classes': Target(object_class_files, object_classes, 8),
    'images': Target(image_files, images, 4),
    'videos': Target(videos, video_files, 2),
    'checkpoints': Target(checkpoints, checkpoint, 4),
    'pickle programs': Target(pickle_programs, pickle_program, 8),
    'kept configs': Target(lambda: {'config.py': CONFIG.encode()}, kept_config, 8),
    'options': Target(lambda: {'option.txt': b"a.b='[1, (2, 3)]'"}, option_texts, 8),
    'masks': Target(mask_files, masks, 8),
    # not among the checkpoints: another file there would change what the corpus's seeds break
    'safetensors': Target(safetensors_file, checkpoint, 4),
    'MOTS text': Target(mots_text_files, mots_text, 4),
    'curves': Target(curve_files, curves, 1),
    'training lock': Target(lock_files, training_lock, 4),
    'long videos': Target(long_video_files, long_videos, 4),
    'Label Studio masks': Target(label_studio_masks, label_studio),
    'tracked videos': Target(tracked_video_files, tracked_videos),
}
