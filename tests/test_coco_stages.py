"""Stage 1, then stage 2 from its checkpoint, through the command line's own functions."""

import json
from pathlib import Path

import pytest
import torch
from coco_files import coco_content, write_coco
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from small_coco import CONFIGS, small_config

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.engine.cli import build_runner
from mmvis_cl.errors import InputError
from mmvis_cl.registry import DATASETS, METRICS, MODELS


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        yield


def logged(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def stage1(tmp_path_factory):
    """One iteration of stage 1: (COCO's root, work dir)."""
    root = write_coco(tmp_path_factory.mktemp('coco'))
    work_dir = tmp_path_factory.mktemp('stage1')
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        cfg = small_config('r50_coco', root, work_dir)
        cfg.train_dataloader.dataset.filter_cfg = None  # images without objects among them
        runner = build_runner(cfg)
        runner.train()
    return root, work_dir


def test_stage_1_trains_and_is_scored(stage1):
    _, work_dir = stage1
    losses, scores = logged(work_dir)
    names = {'loss_cls', 'loss_bbox', 'loss_iou', 'loss_mask', 'loss_dice'}
    assert names <= set(losses) and not any('embed' in key for key in losses)
    assert all(torch.tensor(losses[name]).isfinite() for name in names)
    for kind in ('bbox', 'segm'):
        assert 0 <= scores[f'coco/{kind}_mAP'] <= 1
    assert (work_dir / 'iter_1.pth').exists()


def test_stage_2_starts_from_stage_1(stage1, tmp_path):
    root, work_dir = stage1
    weights = torch.load(work_dir / 'iter_1.pth', weights_only=False)['state_dict']
    cfg = small_config('r50_coco-pseudo', root, tmp_path)
    assert cfg.model.detector.init_cfg.checkpoint == 'work_dirs/r50_coco/iter_184000.pth'
    cfg.model.detector.init_cfg.checkpoint = str(work_dir / 'iter_1.pth')

    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    ours = model.detector.state_dict()
    assert ours.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(ours[name], value), name

    runner = build_runner(cfg)
    runner.train()
    (losses,) = logged(tmp_path)
    for name in ('loss_cls', 'loss_mask', 'loss_embed', 'loss_embed_aux'):
        assert torch.tensor(losses[name]).isfinite()
    # one step of AdamW moves a weight by little more than the rate; a fresh network is far away
    trained = torch.load(tmp_path / 'iter_1.pth', weights_only=False)['state_dict']
    moved = max(
        float((trained[f'detector.{name}'] - weights[name]).abs().max())
        for name, _ in model.detector.named_parameters()
    )
    assert 0 < moved < 1e-3
    assert any(name.startswith('embed_head.') for name in trained)


def test_a_missing_stage_1_is_one_line(stage1, tmp_path):
    cfg = small_config('r50_coco-pseudo', stage1[0], tmp_path)
    with pytest.raises(InputError) as error:
        MODELS.build(cfg.model).init_weights()
    assert str(error.value) == (
        'work_dirs/r50_coco/iter_184000.pth: there is no such checkpoint to start '
        'MaskDeformableDETR from; train the stage before, or give another one as '
        'init_cfg.checkpoint (init_cfg=None: start from its backbone alone)'
    )


def test_perfect_predictions_score_one(stage1):
    """Labels, boxes and masks of the data set and of the metric mean the same."""
    root, work_dir = stage1
    cfg = small_config('r50_coco', root, work_dir)
    metric = METRICS.build(cfg.val_evaluator)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    metric.dataset_meta = dataset.metainfo
    labels = dataset.cat2label
    content = coco_content()
    for image in content['images']:
        found = [
            a for a in content['annotations'] if a['image_id'] == image['id'] and not a['iscrowd']
        ]
        masks = []
        for a in found:
            rle = a['segmentation']
            if isinstance(rle, list):
                rle = mask_utils.merge(mask_utils.frPyObjects(rle, 60, 80))
            masks.append(torch.from_numpy(mask_utils.decode(rle)).bool())
        boxes = torch.tensor([a['bbox'] for a in found], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        sample = DetDataSample(metainfo=dict(img_id=image['id'], ori_shape=(60, 80)))
        sample.pred_instances = InstanceData(
            bboxes=boxes,
            labels=torch.tensor([labels[a['category_id']] for a in found], dtype=torch.long),
            scores=torch.ones(len(found)),
            masks=torch.stack(masks) if masks else torch.zeros(0, 60, 80, dtype=torch.bool),
        )
        metric.process({}, [sample.to_dict()])
    scores = metric.evaluate(size=4)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_a_whole_video_model_is_not_taken_for_its_detector(stage1, tmp_path):
    root, _ = stage1
    cfg = small_config('r50_coco-pseudo', root, tmp_path)
    cfg.model.detector.init_cfg = None
    torch.manual_seed(0)
    whole = MODELS.build(cfg.model)
    whole.init_weights()
    path = str(tmp_path / 'whole.pth')
    torch.save(dict(state_dict=whole.state_dict()), path)

    cfg.model.detector.init_cfg = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(InputError, match=r"say prefix='detector.' in init_cfg"):
        MODELS.build(cfg.model).init_weights()
    cfg.model.detector.init_cfg.prefix = 'detector.'
    model = MODELS.build(cfg.model)
    model.init_weights()
    for name, value in whole.detector.state_dict().items():
        assert torch.equal(model.detector.state_dict()[name], value), name


def test_mixed_training_runs(stage1, tmp_path):
    root, _ = stage1
    make_moving_shapes(tmp_path / 'shapes', train_videos=2, valid_videos=1, length=3)
    cfg = small_config('r50_coco-pseudo', root, tmp_path)
    loader = Config.fromfile(CONFIGS / 'r50_coco-ytvis19.py').train_dataloader
    loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    videos, images = loader.dataset.datasets
    classes = ('disk', 'triangle', 'star')
    videos.update(data_root=str(tmp_path / 'shapes'), data_prefix=dict(img_path='JPEGImages'))
    videos.update(classes=classes)
    images.update(data_root=str(root), classes=classes, class_map=dict(person='disk', car='star'))
    for resize in (videos.pipeline[3].transforms[0], images.pipeline[1].transforms[4]):
        resize.scales = [(160, 60), (160, 90)]
    cfg.train_dataloader = loader
    cfg.model.detector.update(init_cfg=None)
    cfg.model.detector.bbox_head.num_classes = 3
    build_runner(cfg).train()
    (losses,) = logged(tmp_path)
    assert torch.tensor([losses['loss_cls'], losses['loss_embed']]).isfinite().all()
