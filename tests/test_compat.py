import os
import subprocess
import sys

import pytest
import torch
from mmcv.ops import multi_scale_deform_attn as attention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from mmengine.registry import DefaultScope

import mmvis_cl_mmcv_ext
from mmvis_cl import compat

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

without_ops = pytest.mark.skipif(compat.has_compiled_ops(), reason='mmcv has its compiled ops')
with_ops = pytest.mark.skipif(not compat.has_compiled_ops(), reason='mmcv has no compiled ops')


def run(code: str, path: str = '') -> subprocess.CompletedProcess:
    """Runs ``code`` in a new process, with ``path`` in front of the installed packages."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [path, ROOT])))
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)


# mmcv without compiled ops


@without_ops
def test_mmdet_imports_before_mmvis_cl():
    # The .pth file of the installation is what makes this work.
    code = "import sys, mmdet.models; assert 'mmvis_cl' not in sys.modules"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@without_ops
def test_calling_an_op_says_which_is_missing_and_how_to_build_it():
    from mmcv.ops import soft_nms

    with pytest.raises(RuntimeError, match=r"'softnms'.*without compiled ops.*`make ops`"):
        soft_nms(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.ones(1), 0.5)


@without_ops
def test_max_pooling_roi_align_is_still_missing():
    from mmcv.ops import RoIAlign

    with pytest.raises(RuntimeError, match='roi_align_forward'):
        RoIAlign(2, pool_mode='max')(torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 4, 4]]))


# Two-stage detectors, with compiled ops or without


@pytest.mark.parametrize(('offset', 'kept'), [(0, [1, 0, 2]), (1, [1, 2])])
def test_nms(offset, kept):
    from mmcv.ops import nms

    # the IoU of boxes 0 and 1 is 2 / 4; with offset 1, which counts the last pixel, it is 6 / 8
    boxes = torch.tensor(
        [[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 4.0 - offset, 1.0], [5.0, 5.0, 6.0, 6.0]]
    )
    scores = torch.tensor([0.8, 0.9, 0.1])
    dets, index = nms(boxes, scores, 0.6, offset=offset)
    assert index.tolist() == kept
    assert torch.equal(dets[:, 4], scores[index])


def test_roi_align():
    from mmcv.ops import RoIAlign

    # a ramp: bilinear samples of it are exact, so each bin gives the x of its centre, half a pixel
    # less than in the box's coordinates
    ramp = torch.arange(8.0).expand(1, 1, 8, 8).clone().requires_grad_()
    out = RoIAlign(2, spatial_scale=0.5)(ramp, torch.tensor([[0.0, 4.0, 4.0, 12.0, 8.0]]))
    assert out.flatten().tolist() == pytest.approx([2.5, 4.5, 2.5, 4.5])
    out.sum().backward()
    assert ramp.grad.sum() == pytest.approx(4.0)


def test_roi_align_of_who_had_it_before_us():
    done = run(
        'import torch; from mmcv.ops.roi_align import roi_align; import mmvis_cl; '
        'print(roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]), 1).item())'
    )
    assert done.stdout == '1.0\n', done.stderr


@without_ops
def test_mmcv_reports_its_environment():
    from mmcv.utils import collect_env

    assert 'without compiled ops' in collect_env()['MMCV Compiler']


def test_placeholder_has_every_op_and_no_module_attributes():
    extension = mmvis_cl_mmcv_ext._PlaceholderFinder.create_module(None)
    assert mmvis_cl_mmcv_ext.is_placeholder(extension)
    assert not mmvis_cl_mmcv_ext.is_placeholder(torch)
    with pytest.raises(RuntimeError, match="'some_new_op_forward'"):
        extension.some_new_op_forward(1, key=2)
    assert not hasattr(extension, '__file__')
    assert not hasattr(extension, '__wrapped__')


def test_compiled_extension_is_not_hidden(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    (tmp_path / 'mmcv' / '_ext.py').write_text("nms = 'the real one'\n")
    done = run('import mmvis_cl_mmcv_ext, mmcv._ext; print(mmcv._ext.nms)', str(tmp_path))
    assert done.stdout.strip() == 'the real one', done.stderr


def test_extension_for_another_torch_is_reported(tmp_path):
    # What Python says of a shared library with unknown symbols is an ImportError too.
    code = (
        'import sys, importlib, mmcv\n'
        'class Broken:\n'
        '    @staticmethod\n'
        '    def find_spec(name, path=None, target=None):\n'
        "        if name == 'mmcv._ext':\n"
        "            raise ImportError('undefined symbol: _ZN3c10')\n"
        'sys.meta_path.insert(0, Broken)\n'
        'import mmvis_cl'
    )
    done = run(code)
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith('ImportError') and 'undefined symbol' in message
    assert f'torch {torch.__version__}' in message and 'make ops' in message


# Deformable attention on CUDA


class CudaLike(torch.Tensor):
    """A CPU tensor that mmcv takes for one on CUDA."""

    is_cuda = True


def attend(module, query, like):
    """Deformable attention of ``query`` (1, 20, 16) over a 4 x 4 and a 2 x 2 map."""
    generator = torch.Generator().manual_seed(1)
    shapes = torch.tensor([[4, 4], [2, 2]])
    points = torch.rand(1, 20, 2, 2, generator=generator)
    return module(
        query.as_subclass(like),
        reference_points=points,
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 16]),
    )


def small_attention():
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(
        embed_dims=16, num_heads=2, num_levels=2, num_points=2, dropout=0.0, batch_first=True
    )
    # The initial weights make the attention uniform, which would hide errors.
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def test_attention_without_the_cuda_op_takes_the_pytorch_form(monkeypatch):
    module = small_attention()
    query = torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(2), requires_grad=True)
    expected = attend(module, query, torch.Tensor)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), query)

    said = []
    monkeypatch.setattr(attention, 'IS_CUDA_AVAILABLE', True)
    monkeypatch.setattr('mmengine.logging.print_log', lambda message, **_: said.append(message))
    compat._say_pytorch_form_is_used.cache_clear()
    # Set so that the one that was there comes back after the test.
    monkeypatch.setattr(attention, 'MultiScaleDeformableAttnFunction', None)
    compat._replace_deformable_attention_op()
    output = attend(module, query, CudaLike)
    attend(module, query, CudaLike)
    (grad,) = torch.autograd.grad(output.square().sum(), query)

    torch.testing.assert_close(output.as_subclass(torch.Tensor), expected)
    torch.testing.assert_close(grad.as_subclass(torch.Tensor), expected_grad)
    assert len(said) == 1 and 'make ops' in said[0]


@with_ops
def test_compiled_ops_leave_mmcvs_attention_as_it_is():
    function = attention.MultiScaleDeformableAttnFunction
    assert issubclass(function, torch.autograd.Function)
    assert function.__module__ == attention.__name__


@with_ops
def test_compiled_ops_run():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [20.0, 0.0, 29.0, 9.0]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    assert kept.tolist() == [0, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_attention_on_cuda_equals_the_cpu():
    module = small_attention()
    query = torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(2))
    expected = attend(module, query, torch.Tensor)
    module.cuda()
    output = module(
        query.cuda(),
        reference_points=torch.rand(1, 20, 2, 2, generator=torch.Generator().manual_seed(1)).cuda(),
        spatial_shapes=torch.tensor([[4, 4], [2, 2]]).cuda(),
        level_start_index=torch.tensor([0, 16]).cuda(),
    )
    torch.testing.assert_close(output.cpu(), expected, rtol=1e-4, atol=1e-5)


# Versions


@pytest.mark.parametrize(
    ('name', 'version', 'install'),
    [
        ('mmengine', '0.9.1', 'onedl-mmengine'),
        ('mmcv', '1.7.1', 'onedl-mmcv'),
        ('mmdet', '3.0.0', 'onedl-mmdetection'),
        ('torch', '2.3.1', 'torch>=2.4'),
    ],
)
def test_too_old_a_version_is_named(tmp_path, name, version, install):
    (tmp_path / name).mkdir()
    (tmp_path / name / '__init__.py').write_text(f'__version__ = {version!r}\n')
    # The others are not needed for the check, and take seconds to import.
    code = (
        'import sys, types\n'
        f"for name in {{'torch', 'mmengine', 'mmcv', 'mmdet'}} - {{{name!r}}}:\n"
        '    module = sys.modules[name] = types.ModuleType(name)\n'
        "    module.__version__ = '99'\n"
        'import mmvis_cl'
    )
    done = run(code, str(tmp_path))
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith('ImportError'), done.stderr
    assert f'{name} {version}' in message and install in message


@pytest.mark.parametrize('name', ['torch', 'mmengine', 'mmcv', 'mmdet'])
def test_a_missing_package_is_named(name):
    code = (
        'import sys, types\n'
        "for name in ('torch', 'mmengine', 'mmcv', 'mmdet'):\n"
        '    sys.modules[name] = types.ModuleType(name)\n'
        "    sys.modules[name].__version__ = '99'\n"
        f'sys.modules[{name!r}] = None\n'
        'import mmvis_cl'
    )
    message = run(code).stderr.strip().splitlines()[-1]
    assert message.startswith(f'ImportError: mmvis_cl needs {name} >= ')
    assert 'Install' in message


def test_what_mmdet_asserts_about_its_companions_is_passed_on(tmp_path):
    (tmp_path / 'mmdet').mkdir()
    (tmp_path / 'mmdet' / '__init__.py').write_text(
        "assert False, 'MMCV==2.3.6 is used but incompatible.'\n"
    )
    code = (
        'import sys, types\n'
        "for name in ('torch', 'mmengine', 'mmcv'):\n"
        '    sys.modules[name] = types.ModuleType(name)\n'
        "    sys.modules[name].__version__ = '99'\n"
        'import mmvis_cl'
    )
    message = run(code, str(tmp_path)).stderr.strip().splitlines()[-1]
    assert message.startswith('ImportError') and 'MMCV==2.3.6 is used but incompatible' in message
    assert 'mmdet==3.3.0' in message


# Names of MMTracking 1.x


@pytest.mark.parametrize(
    ('registry', 'old', 'new'),
    [
        ('MODELS', 'ByteTrack', 'ByteTrack'),
        ('MODELS', 'MaskTrackRCNNTracker', 'MaskTrackRCNNTracker'),
        ('MODELS', 'TrackDataPreprocessor', 'TrackDataPreprocessor'),
        ('MODELS', 'Mask2Former', 'Mask2FormerVideo'),
        ('MODELS', 'Mask2FormerHead', 'Mask2FormerTrackHead'),
        ('MODELS', 'BaseMultiObjectTracker', 'BaseMOTModel'),
        ('TASK_UTILS', 'KalmanFilter', 'KalmanFilter'),
        ('DATASETS', 'YouTubeVISDataset', 'YouTubeVISDataset'),
        ('DATA_SAMPLERS', 'VideoSampler', 'TrackImgSampler'),
        ('TRANSFORMS', 'LoadTrackAnnotations', 'LoadTrackAnnotations'),
        ('METRICS', 'MOTChallengeMetrics', 'MOTChallengeMetric'),
        ('METRICS', 'YouTubeVISMetric', 'YouTubeVISMetric'),
        ('HOOKS', 'TrackVisualizationHook', 'TrackVisualizationHook'),
        ('VISUALIZERS', 'TrackLocalVisualizer', 'TrackLocalVisualizer'),
    ],
)
def test_names_of_mmtracking_resolve_to_mmdet(registry, old, new):
    import mmdet.registry
    import mmengine.registry

    import mmvis_cl.registry

    expected = getattr(mmdet.registry, registry).get(new)
    assert expected.__name__ == new
    for package in (mmengine, mmdet, mmvis_cl):
        found = getattr(package.registry, registry).get(f'mmtrack.{old}')
        assert found is expected, package.__name__


def test_default_scope_mmtrack_builds_without_a_warning(capsys, caplog):
    from mmengine.registry import METRICS, TASK_UTILS

    with DefaultScope.overwrite_default_scope('mmtrack'):
        built = TASK_UTILS.build({'type': 'KalmanFilter', 'center_only': True})
        metric = METRICS.get('mmdet.YouTubeVISMetric')
    assert type(built).__module__.startswith('mmdet')
    assert metric.__module__.startswith('mmdet')
    assert not caplog.records and 'mmtrack' not in ''.join(capsys.readouterr())


def test_unknown_name_of_mmtracking_is_an_error():
    from mmdet.registry import MODELS

    with pytest.raises((KeyError, RuntimeError), match='NoSuchTracker'):
        MODELS.build({'type': 'mmtrack.NoSuchTracker'})


def test_how_to_compile_fits_the_installation(monkeypatch, tmp_path):
    from mmvis_cl import compat

    for package, command in ((tmp_path / 'site-packages', 'pip install'), (tmp_path, 'make ops')):
        (package / 'mmvis_cl').mkdir(parents=True)
        monkeypatch.setattr(compat, '__file__', str(package / 'mmvis_cl' / 'compat.py'))
        (tmp_path / 'Makefile').write_text('')
        assert command in compat.how_to_compile()
