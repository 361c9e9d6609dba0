"""Every config builds; the full-size one trains and looks on a CPU."""

import json
from pathlib import Path

import pytest
import torch
from mmdet.datasets import YouTubeVISDataset
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path for folder in ('vis_cl', 'ctvis') for path in (ROOT / 'configs' / folder).glob('*.py')
)


def load(path):
    cfg = Config.fromfile(path)
    network = cfg.model.get('detector', cfg.model)  # of stage 1 it is the model itself
    network.backbone.init_cfg = None  # nothing is downloaded in a test
    return cfg


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: f'{p.parent.name}-{p.stem}')
def test_config_builds(path):
    cfg = load(path)
    assert cfg.default_scope == 'mmvis_cl'
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    head = getattr(model, 'detector', model)
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        # without a word on them the 80 classes of COCO
        classes = part.get('classes', 'coco') if part.type == 'COCOImages' else part.classes
        if classes == 'coco':
            assert head.num_classes == 80
        elif isinstance(classes, str):
            assert head.num_classes == len(class_list(classes))
        elif classes is not None:
            assert head.num_classes == len(classes)


def test_no_two_data_sets_write_results_of_one_name():
    paths = [*CONFIGS, *(ROOT / 'configs' / 'ladder').glob('*.py')]
    annotated = {}
    for path in paths:
        cfg = Config.fromfile(path)
        for name in ('val_evaluator', 'test_evaluator'):
            evaluator = cfg.get(name) or {}
            if evaluator.get('outfile_prefix'):
                files = annotated.setdefault(evaluator['outfile_prefix'], set())
                files.add(evaluator['ann_file'])
    assert len(annotated) >= 4  # YouTube-VIS 2019, 2021 and 2022, OVIS
    assert all(len(files) == 1 for files in annotated.values()), annotated


@pytest.mark.parametrize('name', ['r50_ytvis19', 'swin-l_ovis'])
def test_optimiser_groups_of_the_full_network(name):
    """AdamW, the backbone at a tenth of the rate, weight decay and gradient norm of the recipe."""
    cfg = load(ROOT / 'configs' / 'vis_cl' / f'{name}.py')
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
        constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type='DefaultOptimWrapperConstructor',
                optim_wrapper_cfg={
                    k: v for k, v in cfg.optim_wrapper.items() if k != 'paramwise_cfg'
                },
                paramwise_cfg=cfg.optim_wrapper.paramwise_cfg,
            )
        )
        wrapper = constructor(model)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW) and wrapper.optimizer.defaults['fused']
    rate = {id(p): g['lr'] for g in wrapper.optimizer.param_groups for p in g['params']}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected = 1e-5 if 'backbone' in name else 1e-4
            assert rate[id(parameter)] == pytest.approx(expected), name
    assert {g['weight_decay'] for g in wrapper.optimizer.param_groups} == {1e-4}
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.01, norm_type=2)


@pytest.mark.parametrize('data', ['ytvis19', 'ytvis21', 'ovis'])
def test_recipe_and_thresholds_of_the_release(data):
    for backbone in ('r50', 'r101', 'swin-l'):
        cfg = load(ROOT / 'configs' / 'vis_cl' / f'{backbone}_{data}.py')
        ovis = data == 'ovis'
        assert cfg.model.detector.bbox_head.num_classes == (25 if ovis else 40)
        assert cfg.model.detector.test_cfg.score_thr == (0.1 if ovis else 0.05)
        assert cfg.model.test_cfg.mask_nms_thr == (0.3 if ovis else 0.5)
        assert cfg.model.tracker.new_thr == (0.3 if ovis else 0.2)
        assert cfg.model.tracker.first_thr == 0.2
        pairs = cfg.train_dataloader.batch_size * 8
        assert pairs == cfg.auto_scale_lr.base_batch_size == (16 if ovis else 32)
        assert cfg.train_cfg.max_iters == 12000
        warm_up, decay = cfg.param_scheduler
        assert (warm_up.start_factor, warm_up.end) == (1.0, 10)
        assert (decay.milestones, decay.gamma) == ([8000], 0.1)
        network = cfg.model.detector.backbone
        if backbone == 'swin-l':
            assert (network.drop_path_rate, network.window_size) == (0.3, 12)
        else:
            assert network.depth == int(backbone[1:])
            assert (
                f'resnet{network.depth}'
                in Config.fromfile(
                    ROOT / 'configs' / 'vis_cl' / f'{backbone}_{data}.py'
                ).model.detector.backbone.init_cfg.checkpoint
            )


# frames of a clip, reach, videos for one of COCO's images, queries
CTVIS = {
    'r50_ytvis19': (10, 20, 1.5, 100),
    'swin-l_ytvis19': (8, 16, 1.5, 200),
    'r50_ytvis21': (10, 20, 0.8, 100),
    'swin-l_ytvis21': (8, 16, 0.8, 200),
    'r50_ovis': (10, 15, 0.75, 100),
    'swin-l_ovis': (6, 10, 0.75, 200),
}


@pytest.mark.parametrize('name', CTVIS)
def test_recipe_of_ctvis(name):
    frames, reach, ratio, queries = CTVIS[name]
    cfg = load(ROOT / 'configs' / 'ctvis' / f'{name}.py')
    videos, images = cfg.train_dataloader.dataset.datasets
    first = videos.pipeline[0]
    assert (first.num_frames, first.frame_range) == (frames, reach)
    assert images.pipeline[0].num_frames == frames and images.class_map == 'ctvis'
    assert images.classes == videos.classes
    sampler = cfg.train_dataloader.sampler
    assert sampler.ratio == [ratio, 1] and sampler.per_batch == cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16 and cfg.train_cfg.max_iters == 16000
    assert cfg.param_scheduler[1].milestones == [6000, 12000]
    classes = 25 if 'ovis' in name else 40
    head = cfg.model.detector.panoptic_head
    assert (head.num_classes, head.num_queries) == (classes, queries)
    assert cfg.model.test_cfg.max_tracks == classes
    for part in (videos, images):
        resize = [t for step in part.pipeline for t in step.get('transforms', [])]
        (scales,) = (t.scales for t in resize if t.type == 'RandomChoiceResize')
        assert [s[1] for s in scales] == [320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640]
        assert {s[0] for s in scales} == {768}
    assert cfg.test_dataloader.dataset.pipeline[0].transforms[1].scale == (1333, 480)


@pytest.mark.parametrize('name', ['r50_ytvis21', 'swin-l_ytvis21'])
def test_optimiser_groups_of_ctvis(name):
    """Norms, what queries and levels are, and Swin's tables do not decay; the backbone is slow."""
    cfg = load(ROOT / 'configs' / 'ctvis' / f'{name}.py')
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
        constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type='DefaultOptimWrapperConstructor',
                optim_wrapper_cfg={
                    k: v for k, v in cfg.optim_wrapper.items() if k != 'paramwise_cfg'
                },
                paramwise_cfg=cfg.optim_wrapper.paramwise_cfg,
            )
        )
        groups = constructor(model).optimizer.param_groups
    of = {id(p): group for group in groups for p in group['params']}
    norms = {
        f'{name}.{part}'
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm))
        for part in ('weight', 'bias')
    }
    assert len(norms) > 50
    free = ('query_feat', 'query_embed', 'panoptic_head.level_embed', 'bias_table')
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group = of[id(parameter)]
        assert group['lr'] == pytest.approx(1e-5 if 'backbone' in name else 1e-4), name
        decays = name not in norms and not any(part in name for part in free)
        assert group['weight_decay'] == (0.05 if decays else 0), name
    levels = model.detector.panoptic_head.pixel_decoder.level_encoding.weight
    assert of[id(levels)]['weight_decay'] == 0.05


@pytest.mark.parametrize('backbone', ['r50', 'r101', 'swin-l', 'convnext-l'])
def test_recipe_of_coco(backbone):
    """Stage 1 for 50 epochs, stage 2 as the release; the one starts from the other."""
    large = backbone.endswith('-l')
    batch = 16 if large else 32
    one, two = (
        Config.fromfile(ROOT / 'configs' / 'vis_cl' / f'{backbone}_coco{stage}.py')
        for stage in ('', '-pseudo')
    )
    for cfg in (one, two):
        assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == batch
        assert cfg.optim_wrapper.optimizer.lr == 2e-4
        assert cfg.param_scheduler[1].end == cfg.train_cfg.max_iters
    epoch = 117266 / batch  # images of train2017 with an object
    assert one.train_cfg.max_iters / epoch == pytest.approx(50, abs=0.3)
    assert one.param_scheduler[1].milestones[0] / epoch == pytest.approx(40, abs=0.3)
    assert two.train_cfg.max_iters == (148000 if large else 59200)
    assert two.param_scheduler[1].milestones == ([59200, 118400] if large else [22200, 44400])

    network = two.model.detector.to_dict()
    last = f'work_dirs/{backbone}_coco/iter_{one.train_cfg.max_iters}.pth'
    assert network.pop('init_cfg') == dict(type='Pretrained', checkpoint=last)
    alone = one.model.to_dict()
    assert alone['test_cfg'].pop('nms_iou_thr') == 0.7
    assert network['test_cfg'].pop('nms_iou_thr') == 0.9
    preprocessor = dict(two.model.data_preprocessor, type='DetDataPreprocessor')
    assert alone == dict(network, data_preprocessor=preprocessor)


@pytest.mark.parametrize('backbone', ['r50', 'swin-l', 'convnext-l'])
def test_recipe_of_the_report_for_2022(backbone):
    cfg = load(ROOT / 'configs' / 'vis_cl' / f'{backbone}_ytvis22.py')
    assert cfg.model.detector.bbox_head.num_classes == 40
    loop = cfg.train_cfg
    assert (loop.type, loop.max_iters, loop.total_batch_size) == (
        'AccumulatingTrainLoop',
        12000,
        32,
    )
    # Batches of 4 pairs make 32 on 1, 2, 4 and 8 GPUs.
    assert cfg.train_dataloader.batch_size == 4 and not cfg.auto_scale_lr.enable
    assert cfg.optim_wrapper.optimizer.lr == 2e-4 and cfg.optim_wrapper.clip_grad.max_norm == 0.01
    _, decay = cfg.param_scheduler
    assert (decay.milestones, decay.gamma, decay.end) == ([6000], 0.1, 12000)
    assert cfg.load_from == (
        f'work_dirs/{backbone}_coco-pseudo/iter_{59200 if backbone == "r50" else 148000}.pth'
    )
    before = load(ROOT / 'configs' / 'vis_cl' / f'{backbone}_coco-pseudo.py')
    assert before.train_cfg.max_iters == (59200 if backbone == 'r50' else 148000)


@pytest.fixture
def youtube_vis_like(tmp_path):
    """Moving shapes under three of the 40 names of YouTube-VIS 2019, in its tree."""

    class Lists(YouTubeVISDataset):
        pass

    Lists.set_dataset_classes('2019')
    make_moving_shapes(tmp_path / 'shapes', train_videos=2, valid_videos=1, length=3)
    for split in ('train', 'valid'):
        annotations = json.loads((tmp_path / 'shapes' / f'{split}.json').read_text())
        annotations['categories'] = [
            dict(id=i + 1, name=name) for i, name in enumerate(Lists.METAINFO['classes'])
        ]
        (tmp_path / f'{split}.json').write_text(json.dumps(annotations))
        (tmp_path / split).mkdir()
        (tmp_path / split / 'JPEGImages').symlink_to(tmp_path / 'shapes' / 'JPEGImages')
    return tmp_path


def test_full_network_trains_and_looks_on_a_cpu(youtube_vis_like):
    cfg = load(ROOT / 'configs' / 'vis_cl' / 'r50_ytvis19.py')
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = f'{youtube_vis_like}/'
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
        train = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        test = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    model.init_weights()

    data = model.data_preprocessor(next(iter(train)), training=True)
    assert min(data['data_samples'][0][0].img_shape) >= 320
    losses = model(**data, mode='loss')
    assert len(losses) == 6 * 5 + 2
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad.isfinite().all(), name

    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(next(iter(test)))
        assert min(data['data_samples'][0][0].img_shape) == 480
        outputs = model(**data, mode='tensor')
        frame = model(**data, mode='predict')[0][0]
    h, w = data['inputs'].shape[-2:]
    assert outputs['pred_logits'].shape == (1, 300, 40)
    assert outputs['pred_masks'].shape == (1, 300, h // 4, w // 4)
    assert 'masks' in frame.pred_track_instances
