import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.engine.multi_scale_config import use_multi_scale
from mmvis_cl.errors import InputError
from mmvis_cl.registry import DATASETS

CONFIGS = ROOT.parent / 'configs'


def config(name='vis_cl/small_moving-shapes', **tta):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.tta.update(tta)
    return cfg


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, train_videos=1, valid_videos=1, length=2)
    return f'{root}/'


def frame(cfg, data_root):
    """The second frame of the test set, at all sizes."""
    cfg.test_dataloader.dataset.data_root = data_root
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return DATASETS.build(cfg.test_dataloader.dataset)[0, 1]


def test_a_frame_at_every_size_and_mirrored(data_root):
    plain = config()
    scales = [(224, 80), plain.test_pipeline[0].transforms[1].scale]
    cfg = config(scales=scales, flip=True)
    use_multi_scale(cfg)
    item, expected = frame(cfg, data_root), frame(plain, data_root)
    # 160 x 96 pixels
    shapes = [tuple(image.shape[2:]) for image in item['inputs']]
    assert shapes == [(80, 133), (80, 133), (112, 187), (112, 187)]
    assert torch.equal(item['inputs'][2], expected['inputs'])
    for image, mirrored in (item['inputs'][:2], item['inputs'][2:]):
        assert torch.equal(image.flip(-1), mirrored)
    samples = [sample[0] for sample in item['data_samples']]
    assert [sample.flip for sample in samples] == [False, True, False, True]
    assert [sample.img_shape for sample in samples] == shapes
    for sample in samples:
        assert (sample.frame_id, sample.ori_shape) == (1, (96, 160))
    assert cfg.model.type == 'mmvis_cl.MultiScaleVIS'
    assert cfg.model.module == plain.model


@pytest.mark.parametrize(
    ('name', 'short_sides'),
    [
        ('vis_cl/swin-l_ytvis21', [480, 640, 800]),
        ('vis_cl/r50_ovis', [640, 720, 800]),
        ('vis_cl/small_paste', [128, 144, 160]),
    ],
)
def test_sizes_of_the_configs(name, short_sides):
    cfg = config(name)
    use_multi_scale(cfg)
    (sizes, _) = cfg.test_dataloader.dataset.pipeline[-1].transforms
    assert [size.transforms[0].scale[1] for size in sizes] == short_sides
    assert [size.transforms[0].type for size in sizes] == ['AlignedResize'] * 3


def test_options_of_the_command_line():
    cfg = config()
    cfg.merge_from_dict({'tta.scales': [(64, 32)], 'tta.merge_cfg.method': 'suppress'})
    use_multi_scale(cfg)
    assert len(cfg.test_dataloader.dataset.pipeline[-1].transforms[0]) == 1
    assert cfg.model.merge_cfg == dict(method='suppress')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda cfg: cfg.pop('tta'), 'no tta.scales, the sizes to test at'),
        (lambda cfg: cfg.tta.update(scales=[]), 'no tta.scales'),
        (
            lambda cfg: cfg.tta.update(sizes=[1]),
            "tta has 'sizes'; known are",
        ),
        (
            lambda cfg: cfg.tta.update(merge_cfg=dict(iou=1)),
            "tta.merge_cfg has 'iou'; known",
        ),
        (lambda cfg: cfg.tta.update(merge_cfg=dict(weights=[1, 2])), '2 weights for 3 runs'),
        (
            lambda cfg: cfg.test_dataloader.dataset.pipeline[0].transforms.pop(1),
            "the test pipeline has 0 transforms with a 'scale'",
        ),
        (lambda cfg: cfg.pop('test_dataloader'), 'no test_dataloader'),
    ],
)
def test_errors_are_one_clear_line(change, message):
    cfg = config()
    change(cfg)
    with pytest.raises(InputError, match=message) as caught:
        use_multi_scale(cfg)
    assert '\n' not in str(caught.value)
