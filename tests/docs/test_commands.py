"""Every command and every piece of Python in the README and in docs/ works.

Commands are run in a folder with small data, or, where that would take too long, checked in the way
that TABLE says. A command that is not in TABLE fails: add a line for it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
PAGES += sorted((ROOT / 'projects').rglob('*.md'))  # their trainings are run by tests/projects

SMALL = 'configs/vis_cl/small_moving-shapes.py'
# Words that stand for something of the user's, everywhere. Files of the names CHECKPOINT,
# VIDEO.mp4, RESULTS.json, ... are in the folder.
WORDS = dict(CONFIG=SMALL, PARTITION='gpu', JOB='job')
TRACK = {'ctvis/r50_ytvis21': SMALL, 'r50_ytvis21': SMALL, 'person': 'disk', 'dog': 'star'}
NO_PROCESSES = '--cfg-options ' + ' '.join(
    f'{split}_dataloader.{key}'
    for split in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
)
FEW_OF_ALL_QUERIES = f"""{NO_PROCESSES} train_cfg.max_iters=1 train_cfg.val_interval=1
    train_dataloader.batch_size=1"""
FEW = f'{FEW_OF_ALL_QUERIES} model.detector.num_queries=12'
FOUND = """--max-frames 3 --limit 2 --device cpu --workers 0
    --cfg-options model.detector.test_cfg.max_per_img=5"""


@dataclass(frozen=True)
class Row:
    """How commands are checked.

    Attributes:
        pattern: Regular expression for the beginning of the command.
        kind: ``run``, ``parse`` or ``shell``, see run_commands.py; ``make``, by make -n;
            ``install``, files and extras exist; ``program``, is installed and what it is given
            exists.
        words: Words to replace.
        more: Options to add, each with its values, if the command does not have them; but values of
            ``--cfg-options`` are added to the command's.
    """

    pattern: str
    kind: str
    words: dict[str, str] = field(default_factory=dict)
    more: str = ''


# The first row that fits counts. Trainings and tests with the full-size configs and tools that need
# downloads are parsed: their options and configs must exist.
TRAIN_OR_TEST = r'python tools/(train|test|train_stages)\.py '
NEW_FOLDER = 'data/NEW'  # another one for each command
CONVERTERS = r'python (\.\./)*tools/dataset_converters/'
TABLE = [
    Row(r'make \w+', 'make'),
    Row(r'pip install ', 'install'),
    Row(r'(pytest|ruff|mkdocs) ', 'program'),
    Row(r'tools/(dist|slurm)_(train|test)\.sh ', 'shell'),
    Row(r'tools/benchmarks/ladder\.sh ', 'program'),
    Row(r'mmvis-cl track-all .*(s3://|--workers|--devices|--engine ray)', 'parse', TRACK),
    Row(r'mmvis-cl track-all gt\.json', 'run', TRACK, '--device cpu --workers 0'),
    # weights that find something, for the round of labelling
    Row(
        r'mmvis-cl track-all data/moving_shapes', 'run', TRACK | {'CHECKPOINT': 'CONFIDENT'}, FOUND
    ),
    Row(r'mmvis-cl track-all ', 'run', TRACK, '--max-frames 2 --device cpu --workers 0'),
    Row(r'mmvis-cl track ', 'run', TRACK, '--max-frames 2 --device cpu'),
    Row(r'mmvis-cl (export|app) ', 'parse'),
    Row(r'mmvis-cl (--help|active|config|info|eval|merge|report|convert|weights|--version)', 'run'),
    Row(r'python -m mmvis_cl ', 'parse'),
    Row(rf'python tools/train\.py {SMALL} .*data/corrected', 'run', {}, FEW_OF_ALL_QUERIES),
    Row(rf'python tools/train\.py {SMALL}', 'run', {}, FEW),
    Row(rf'python tools/test\.py {SMALL}', 'run', {}, NO_PROCESSES),
    Row(r'python tools/test\.py CONFIG CHECKPOINT ', 'run', {}, NO_PROCESSES),
    Row(TRAIN_OR_TEST, 'parse'),
    Row(r'python tools/model_converters/release_to_mmvis_cl\.py ', 'run'),
    Row(r'python tools/model_converters/mmdet_to_mmvis_cl\.py ', 'parse'),
    Row(r'python tools/analysis_tools/\w+\.py ', 'run'),
    Row(
        rf'{CONVERTERS}make_moving_shapes\.py',
        'run',
        {},
        '--train-videos 1 --valid-videos 1 --length 3 --out shapes',
    ),
    Row(rf'{CONVERTERS}check_vis\.py ', 'run', {}, '--workers 0'),
    Row(rf'{CONVERTERS}split_vis\.py ', 'run', {}, '--valid-share 0.5'),
    Row(rf'{CONVERTERS}vis_to_coco\.py ', 'run'),
    # what came back from another video
    Row(
        rf'{CONVERTERS}(cvat|label_studio)_to_vis\.py EXPORT',
        'run',
        {'data/mine': NEW_FOLDER, 'VIDEO.mp4': 'street.mp4'},
    ),
    Row(
        rf'{CONVERTERS}(cvat|coco_video|mask_png|mots_text|label_studio|tracked)_to_vis\.py ',
        'run',
        {'data/mine': NEW_FOLDER},
    ),
    Row(rf'python tools/visualization/browse_dataset\.py {SMALL}', 'run'),
    Row(r'python tools/visualization/browse_dataset\.py ', 'parse'),
    Row(r'python tools/visualization/compare\.py ', 'run'),
    Row(r'python tools/benchmarks/\w+\.py', 'parse'),
]
# What run_commands.py must find something wrong with, and a word of what it says.
WRONG = {
    f'python tools/train.py {SMALL.replace("small", "swin")} --amp': 'swin_moving-shapes.py',
    'python tools/train.py configs/vis_cl/r50_ovis.py --no-such-option': 'no-such-option',
    'python tools/train.py configs/vis_cl/r50_ovis.py --cfg-options model.nothing.x=1': 'nothing',
    'tools/dist_train.sh configs/vis_cl/absent.py 8': 'absent.py',
    'mmvis-cl eval absent.json gt.json': 'absent.json',
}


@dataclass
class Command:
    """A command of the documentation.

    Attributes:
        where: File and line.
        words: Without assignments before it.
        env: The assignments.
        cwd: Relative to the root.
    """

    where: str
    words: list[str]
    env: dict[str, str]
    cwd: str

    def __str__(self) -> str:
        return f'{self.where}: {shlex.join(self.words)}'


def blocks(page: Path, language: str) -> list[tuple[int, list[str]]]:
    """The code blocks of a page: (number of the first line, lines)."""
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opened is None and line.strip().startswith('```'):
            opened = (line.strip()[3:].split(' ')[0], number + 1, [])
        elif opened is not None and line.strip() == '```':
            if opened[0] == language:
                found.append(opened[1:])
            opened = None
        elif opened is not None:
            opened[2].append(line)
    return found


def commands(page: Path) -> list[Command]:
    """The commands of a page, with its variables filled in."""
    found, variables = [], {}
    for first, lines in blocks(page, 'bash'):
        cwd = '.'
        for number, line in _whole_lines(first, lines):
            line = re.sub(r'\$\{?(\w+)\}?', lambda m: variables.get(m[1], m[0]), line)  # noqa: B023
            words = shlex.split(line, comments=True)
            env = {}
            while words and re.fullmatch(r'\w+=.*', words[0]):
                name, _, value = words.pop(0).partition('=')
                env[name] = value
            if not words:
                variables |= env
            elif words[0] == 'cd':
                cwd = os.path.normpath(os.path.join(cwd, words[1]))
            else:
                found.append(Command(f'{page.relative_to(ROOT)}:{number}', words, env, cwd))
    return found


def _whole_lines(first: int, lines: list[str]) -> list[tuple[int, str]]:
    """Lines with those that they go on with after a backslash."""
    whole, start = [], None
    for number, line in enumerate(lines, first):
        if start is None:
            start, text = number, ''
        text += line.rstrip('\\')
        if not line.endswith('\\'):
            whole.append((start, text))
            start = None
    return whole


COMMANDS = [command for page in PAGES for command in commands(page)]
SNIPPETS = [
    (f'{page.relative_to(ROOT)}:{number}', '\n'.join(lines) + '\n')
    for page in PAGES
    for number, lines in blocks(page, 'python')
]


def row_of(command: Command) -> Row | None:
    """The first row of TABLE that fits."""
    return next((r for r in TABLE if re.match(r.pattern, ' '.join(command.words))), None)


def job_of(command: Command, folder: Path) -> dict | None:
    """What run_commands.py has to do for a command; None if nothing."""
    row = row_of(command)
    if row is None or row.kind not in ('run', 'parse', 'shell'):
        return None
    swaps = {**WORDS, **row.words}
    words = [swaps.get(word, word) for word in command.words]
    new_folder = f'data/new_{zlib.crc32(" ".join(words).encode())}'
    words = [new_folder if word == NEW_FOLDER else word for word in words]
    for option in re.split(r'\s(?=--)', row.more):
        name, *values = option.split() or ['']
        if name not in words:
            words += option.split()
        elif name == '--cfg-options':
            place = words.index(name) + 1
            words[place:place] = values
    return dict(kind=row.kind, words=words, cwd=str(folder / command.cwd), env=command.env)


def snippet_job(source: str, folder: Path) -> dict:
    """The same for a piece of Python: a config if it says what it is based on."""
    if '_base_ =' in source:
        return dict(kind='config', source=source, cwd=str(folder))
    for word, replacement in TRACK.items():
        source = source.replace(f"'{word}'", f"'{replacement}'")
    return dict(kind='python', source=source, cwd=str(folder))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A checkout with small data in it."""
    import cv2
    import torch
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from release_fixtures import load
    from synth_weights import release_state_dict

    from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
    from mmvis_cl.registry import MODELS
    from mmvis_cl.visualization import VideoWriter

    root = tmp_path_factory.mktemp('commands')
    for name in ('configs', 'projects', 'tools', 'requirements', 'tests'):
        (root / name).symlink_to(ROOT / name)
    shapes = root / 'data' / 'moving_shapes'
    make_moving_shapes(shapes, seed=3, train_videos=3, valid_videos=2, length=4)
    for split, name in (('train', 'train'), ('valid', 'valid')):
        official = root / 'data' / 'youtube_vis_2021' / split
        official.mkdir(parents=True)
        (official / 'instances.json').write_text((shapes / f'{name}.json').read_text())
        (official / 'JPEGImages').symlink_to(shapes / 'JPEGImages')

    annotations = json.loads((shapes / 'valid.json').read_text())
    for name in ('ANNOTATIONS.json', 'gt.json'):
        (root / name).write_text(json.dumps(annotations))
    (root / 'gt_long.json').write_text(
        json.dumps(dict(annotations, videos=annotations['videos'][:1]))
    )
    (root / 'IMAGES_DIR').symlink_to(shapes / 'JPEGImages')
    mine = root / 'data' / 'mine'
    mine.mkdir()
    (mine / 'annotations.json').write_text((shapes / 'train.json').read_text())
    (mine / 'JPEGImages').symlink_to(shapes / 'JPEGImages')
    keys = ('video_id', 'category_id', 'segmentations')
    results = [
        {key: track[key] for key in keys} | dict(score=0.9) for track in annotations['annotations']
    ]
    for name in ('RESULTS', 'RESULTS_2', 'swin', 'convnext'):
        (root / f'{name}.json').write_text(json.dumps(results))

    frames = [shapes / 'JPEGImages' / path for path in annotations['videos'][0]['file_names']]
    (root / 'FRAMES').mkdir()
    with VideoWriter(root / 'VIDEO.mp4', fps=6) as writer:
        for number in range(12):
            image = cv2.imread(str(frames[number % len(frames)]))
            cv2.imwrite(str(root / 'FRAMES' / f'{number}.jpg'), image)
            writer.write(image[..., ::-1])

    make_own_videos(root)

    config = Config.fromfile(ROOT / SMALL)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(config.model)
    # what only init_weights() fills is whatever lay in the memory
    weights = {k: v.nan_to_num(0, 0, 0).clamp(-9, 9) for k, v in model.state_dict().items()}
    torch.save(dict(state_dict=weights), root / 'CHECKPOINT')
    (root / 'model.onnx').symlink_to(ROOT / 'tests' / 'data' / 'exported_format_1.onnx')
    sure = {k: v * 0 if 'cls_branches' in k and 'bias' in k else v for k, v in weights.items()}
    torch.save(dict(state_dict=sure), root / 'CONFIDENT')
    keys = json.loads(str(load('idol_r50_hidden64')['ref_keys_json']))
    torch.save(release_state_dict(keys), root / 'DOWNLOADED.pth')
    log = root / 'work_dirs' / 'demo' / '20260101_000000' / 'vis_data'
    log.mkdir(parents=True)
    (log / 'scalars.json').write_text(
        ''.join(json.dumps(dict(step=s, iter=s, loss=1 / s, lr=1e-3)) + '\n' for s in (1, 2, 3))
    )
    return root


CVAT = """<annotations><version>1.1</version><meta><task><id>1</id><name>{name}</name>
<size>2</size><labels><label><name>car</name></label></labels>
<original_size><width>30</width><height>20</height></original_size></task></meta>
<track id="0" label="car"><polygon frame="0" keyframe="1" outside="0" occluded="0"
points="2,2;8,2;8,6;2,6" z_order="0"/><polygon frame="1" keyframe="0" outside="0" occluded="0"
points="4,2;10,2;10,6;4,6" z_order="0"/></track></annotations>"""


def make_own_videos(root: Path) -> None:
    """Videos of two frames with a car, as CVAT, COCO-video and mask PNGs have them."""
    import numpy as np
    from PIL import Image
    from pycocotools import mask as mask_utils

    from mmvis_cl.visualization import VideoWriter

    mask = Image.new('L', (30, 20))
    mask.paste(1, (2, 2, 8, 6))
    picture = Image.new('RGB', (30, 20), (90, 30, 200))
    for file, name in (('annotations', 'street'), ('first', 'first'), ('second', 'second')):
        (root / f'{file}.xml').write_text(CVAT.format(name=name))
    with VideoWriter(root / 'street.mp4', fps=6) as writer:
        for _ in range(2):
            writer.write(np.array(picture))
    (root / 'VIDEOS').mkdir()
    shutil.copy(root / 'street.mp4', root / 'VIDEOS')
    (root / 'VIDEOS.csv').write_text('source,id,end\nVIDEOS/street.mp4,street,2\n')
    for name in ('first', 'second'):
        trees = [root / tree for tree in ('DAVIS', 'mine')]
        images = [root / folder / name for folder in ('videos', 'images')]
        images += [tree / 'JPEGImages' / name for tree in trees]
        for folder in images:
            folder.mkdir(parents=True)
            for t in range(2):
                picture.save(folder / f'{t:05}.jpg')
        for tree in trees:
            folder = tree / 'Annotations' / name
            folder.mkdir(parents=True)
            for t in range(2):
                mask.save(folder / f'{t:05}.png')
    mots = Image.fromarray(np.array(mask).astype(np.uint16) * 2001)
    for name in ('0000', '0001'):
        for kind, picture_or_mask, suffix in (
            ('images', picture, 'jpg'),
            ('instances', mots, 'png'),
        ):
            folder = root / 'KITTI_MOTS' / kind / name
            folder.mkdir(parents=True)
            for t in range(2):
                picture_or_mask.save(folder / f'{t:06}.{suffix}')
        rle = mask_utils.encode(np.asfortranarray(mask))
        lines = [f'{t} 2001 2 {mask.height} {mask.width} {rle["counts"].decode()}' for t in (0, 1)]
        text = root / 'KITTI_MOTS' / 'instances_txt' / f'{name}.txt'
        text.parent.mkdir(exist_ok=True)
        text.write_text('\n'.join(lines))
    sets = root / 'DAVIS' / 'ImageSets' / '2017'
    sets.mkdir(parents=True)
    (sets / 'train.txt').write_text('first\n')
    (sets / 'val.txt').write_text('second\n')
    (root / 'classes.csv').write_text('video,object,class\nfirst,1,car\nsecond,1,car\n')
    box = dict(frame=1, enabled=True, x=10, y=10, width=20, height=20, rotation=0, time=0)
    region = dict(type='videorectangle', value=dict(sequence=[box], labels=['car']))
    tasks = [
        dict(id=t, data=dict(video=f'/data/upload/{name}.mp4'), annotations=[dict(result=[region])])
        for t, name in enumerate(('first', 'second'))
    ]
    (root / 'project.json').write_text(json.dumps(tasks))
    (root / 'EXPORT.json').write_text(json.dumps(tasks[:1]))
    with zipfile.ZipFile(root / 'EXPORT.zip', 'w') as archive:
        archive.writestr('annotations.xml', CVAT.format(name='street'))
    for file, name in (('videos', 'first'), ('tracked', 'street')):
        size = dict(height=20, width=30)
        files = [f'{name}/{t:05}.jpg' for t in range(2)]
        content = dict(
            videos=[dict(id=1, name=name)],
            images=[
                dict(id=t, video_id=1, frame_id=t, file_name=files[t], **size) for t in range(2)
            ],
            annotations=[
                dict(id=1 + t, image_id=t, track_id=4, category_id=8, score=0.9,
                     segmentation=[[2, 2, 8, 2, 8, 6, 2, 6]])
                for t in range(2)
            ],
            categories=[dict(id=8, name='car')],
        )  # fmt: skip
        (root / f'{file}.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def outcomes(folder, tmp_path_factory):
    """'' or what went wrong, by command and by piece of Python. The same job is done once."""
    jobs = [(str(c), job_of(c, folder)) for c in COMMANDS]
    jobs += [(where, snippet_job(source, folder)) for where, source in SNIPPETS]
    jobs += [(text, job_of(Command('', text.split(), {}, '.'), folder)) for text in WRONG]
    texts = list(dict.fromkeys(json.dumps(job) for _, job in jobs if job))
    out = tmp_path_factory.mktemp('jobs')
    (out / 'jobs.json').write_text(f'[{", ".join(texts)}]')
    paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
    driver = Path(__file__).parent / 'run_commands.py'
    done = subprocess.run(
        [sys.executable, str(driver), str(out / 'jobs.json'), str(out / 'results.json')],
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(filter(None, paths))),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = dict(zip(texts, json.loads((out / 'results.json').read_text()), strict=True))
    return {name: results[json.dumps(job)] if job else '' for name, job in jobs}


def test_commands_are_found():
    texts = [' '.join(command.words) for command in COMMANDS]
    assert 'make demo' in texts
    assert any(text.startswith('mmvis-cl track VIDEO.mp4') for text in texts)
    assert len(texts) > 40
    assert not [text for text in texts if '$' in text]


@pytest.mark.parametrize('command', COMMANDS, ids=str)
def test_command(command, request):
    row = row_of(command)
    assert row is not None, f'{command}\nadd a line for it to TABLE in tests/docs/test_commands.py'
    if row.kind == 'make':
        env = {k: v for k, v in os.environ.items() if not k.startswith('MAKE')}
        done = subprocess.run(
            ['make', '-n', *command.words[1:]], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f'{command}\n{done.stderr}'
    elif row.kind == 'install':
        check_install(command)
    elif row.kind == 'program':
        paths = [w for w in command.words if '/' in w and not w.startswith(('path/', 'work_dirs/'))]
        assert all((ROOT / path).exists() for path in paths), f'{command}: not there'
        if '/' not in command.words[0]:
            needed = (ROOT / 'requirements' / 'dev.txt').read_text()
            assert command.words[0] in needed, f'{command}: not in requirements/dev.txt'
    else:
        problem = request.getfixturevalue('outcomes')[str(command)]
        assert not problem, f'{command}\n{problem}'


def check_install(command):
    words = command.words[2:]
    for option, value in pairwise(words):
        if option in ('-r', '-c'):
            assert (ROOT / value).is_file(), f'{command}: there is no {value}'
    for word in words:
        extra = re.fullmatch(r'(?:\.|mmvis_cl)\[(\w+)\]', word)
        if extra:
            assert f"'{extra[1]}'" in (ROOT / 'setup.py').read_text(), f'{command}: no such extra'


@pytest.mark.parametrize('where', [where for where, _ in SNIPPETS])
def test_python(where, outcomes):
    assert not outcomes[where], f'{where}\n{outcomes[where]}'


@pytest.mark.parametrize('text', WRONG)
def test_a_wrong_command_is_found(text, outcomes):
    """The checks see what they are there for."""
    assert WRONG[text] in outcomes[text]


def test_commands_write_what_the_pages_say(folder, outcomes):
    """That the commands ended well is not all: here is what they were to make."""
    for name in ('VIDEO_tracked.mp4', 'out.mp4', 'out.json', 'coco.json', 'curves.png'):
        assert (folder / name).stat().st_size > 100, name
    assert len(list((folder / 'masks').glob('**/*.png'))) == 2
    assert {path.name for path in (folder / 'results').iterdir()} == {'VIDEO.json', 'FRAMES.json'}
    assert json.loads((folder / 'scores.json').read_text())['AP'] == pytest.approx(1)
    merged = json.loads((folder / 'both.json').read_text())
    assert merged
    assert json.loads((folder / 'data' / 'youtube_vis_2021' / 'valid_part.json').read_text())[
        'videos'
    ]


def test_a_round_of_labelling(folder, outcomes):
    """What was tracked, and not corrected, is what is trained on: docs/label_loop.md."""
    from pycocotools import mask as mask_utils

    expected = {}
    for path in (folder / 'loop/videos').glob('*/coco.json'):
        content = json.loads(path.read_text())
        for found in content['annotations']:
            if found['area']:
                masks = expected.setdefault((path.parent.name, found['track_id']), {})
                masks[found['image_id'] - 1] = found['segmentation']
    assert expected
    corrected = json.loads((folder / 'data/corrected/train.json').read_text())
    names = {v['id']: v['file_names'][0].split('/')[0] for v in corrected['videos']}
    assert len(corrected['annotations']) == len(expected)
    for track in corrected['annotations']:
        masks = {frame: rle for frame, rle in enumerate(track['segmentations']) if rle}
        same = [
            all(
                mask_utils.iou([rle], [other[frame]], [0])[0, 0] >= 0.97
                for frame, rle in masks.items()
            )
            for (name, _), other in expected.items()
            if name == names[track['video_id']] and other.keys() == masks.keys()
        ]
        assert any(same), track['id']
    assert (folder / 'look.csv').read_text().startswith('rank,video,frame,doubt,reasons')
    assert len((folder / 'next.csv').read_text().splitlines()) == 3
