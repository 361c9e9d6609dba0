import subprocess
import sys

import pytest
from mmdet import registry as mmdet_registry
from mmengine.registry import DefaultScope, Registry

import mmvis_cl.registry

MMDET = {
    name: value for name, value in vars(mmdet_registry).items()
    if isinstance(value, Registry) and value.scope == 'mmdet'
}  # fmt: skip


def run(code: str) -> str:
    """Runs ``code`` in a new process and returns what it prints last."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # mmdet prints a line of its own when it is imported.
    return done.stdout.strip().splitlines()[-1]


def test_mmdet_has_registries():
    assert {'MODELS', 'HOOKS', 'METRICS', 'TRANSFORMS'} <= set(MMDET)


@pytest.mark.parametrize('name', MMDET)
def test_each_registry_is_a_child_of_mmdets(name):
    registry = getattr(mmvis_cl.registry, name)
    assert registry.scope == 'mmvis_cl'
    assert registry.parent is MMDET[name]
    assert MMDET[name].children['mmvis_cl'] is registry
    registry.import_from_location()


def test_parts_resolve_from_mmdet_in_a_fresh_process():
    code = (
        'from mmdet.registry import MODELS\n'
        "tracker = MODELS.build(dict(type='mmvis_cl.MemoryBankTracker'))\n"
        'print(type(tracker).__module__)'
    )
    assert run(code).startswith('mmvis_cl.models')


def test_scopes_in_a_fresh_process(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        "default_scope = 'mmdet'\n"
        "assigner = dict(type='mmvis_cl.OTAAssigner')\n"
        "metric = dict(type='mmvis_cl.VISMetric')\n"
        "neck = dict(type='FPN', in_channels=[8], out_channels=8, num_outs=1)\n"
    )
    code = (
        'from mmengine.config import Config\n'
        'from mmengine.registry import HOOKS, METRICS, MODELS, TASK_UTILS, DefaultScope\n'
        f'config = Config.fromfile({str(config)!r})\n'
        'with DefaultScope.overwrite_default_scope(config.default_scope):\n'
        '    found = [TASK_UTILS.get(config.assigner.type), METRICS.get(config.metric.type)]\n'
        '    found.append(type(MODELS.build(config.neck)))\n'
        "with DefaultScope.overwrite_default_scope('mmvis_cl'):\n"
        "    found.append(type(HOOKS.build(dict(type='CheckInvalidLossHook'))))\n"
        "print(*(part.__module__ + '.' + part.__name__ for part in found))"
    )
    assigner, metric, neck, hook = run(code).split()
    assert assigner.startswith('mmvis_cl.models') and assigner.endswith('.OTAAssigner')
    assert metric.startswith('mmvis_cl.evaluation') and metric.endswith('.VISMetric')
    assert neck.startswith('mmdet.models') and neck.endswith('.FPN')
    assert hook.startswith('mmdet.engine') and hook.endswith('.CheckInvalidLossHook')


def test_parts_resolve_from_a_sibling_of_mmdet():
    # As mmpose's registries: children of mmengine's, which know nothing of mmdet's children.
    from mmengine.registry import MODELS

    sibling = Registry('model', parent=MODELS, scope='sibling_for_test')
    try:
        from mmvis_cl.models import MemoryBankTracker

        assert sibling.get('mmvis_cl.MemoryBankTracker') is MemoryBankTracker
    finally:
        del MODELS.children['sibling_for_test']


@pytest.mark.parametrize(
    ('registry', 'name'),
    [
        ('MODELS', 'DeformableDETR'),
        ('HOOKS', 'CheckInvalidLossHook'),
        ('HOOKS', 'CheckpointHook'),
        ('METRICS', 'YouTubeVISMetric'),
        ('TRANSFORMS', 'PackTrackInputs'),
        ('TRANSFORMS', 'TransformBroadcaster'),
        ('DATA_SAMPLERS', 'TrackImgSampler'),
        ('DATASETS', 'YouTubeVISDataset'),
        ('TASK_UTILS', 'HungarianAssigner'),
        ('VISUALIZERS', 'DetLocalVisualizer'),
    ],
)
def test_own_scope_sees_mmdet_and_mmengine_in_a_fresh_registry(registry, name):
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        found = getattr(mmvis_cl.registry, registry).get(name)
    assert found.__name__ == name
    assert found.__module__.startswith(('mmdet', 'mmengine', 'mmcv'))
