"""What lets mmvis_cl run on the installed torch, mmengine, mmcv and mmdet. Runs once, at import."""

import functools
import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from types import ModuleType

from packaging.version import Version

import mmvis_cl_mmcv_ext
from mmvis_cl import quiet
from mmvis_cl.errors import InputError

# Module, lowest version that works, what to install.
_REQUIRED = (
    ('torch', '2.4', "'torch>=2.4' torchvision"),
    ('mmengine', '0.10', "'onedl-mmengine>=0.10.8', or OpenMMLab's mmengine==0.10.7"),
    ('mmcv', '2.0.0', "'onedl-mmcv>=2.3', or OpenMMLab's mmcv-lite==2.1.0 or mmcv==2.1.0"),
    ('mmdet', '3.1.0', "'onedl-mmdetection>=3.4', or OpenMMLab's mmdet==3.3.0"),
)

# MMTracking 1.x -> mmdet, where the merge gave a part another name. Parts that kept their name need
# no entry. mmdet has a Mask2Former of its own, for images: MMTracking's is the one for videos.
_MMTRACK_RENAMED = {
    'BaseMultiObjectTracker': 'BaseMOTModel',
    'Mask2Former': 'Mask2FormerVideo',
    'Mask2FormerHead': 'Mask2FormerTrackHead',
    'MOTChallengeMetrics': 'MOTChallengeMetric',
    'VideoSampler': 'TrackImgSampler',
}


def set_up() -> None:
    """Checks the versions, then mends what an mmcv without ops and old configs need.

    Raises:
        ImportError: torch, mmengine, mmcv or mmdet is missing or too old, or they refuse each
            other. The message says which, and what to install.
    """
    _check_versions()
    quiet.silence()
    if not has_compiled_ops():
        _replace_deformable_attention_op()
        _replace_two_stage_ops()
    # Not at the top: it needs torch and mmengine, which must be checked first.
    importlib.import_module('mmvis_cl.checkpoints.mmengine_loading').read_by_ours()
    if Version(sys.modules['mmdet'].__version__) < Version('3.4'):
        _give_back_np_float()
    if importlib.util.find_spec('mmtrack') is None:
        _add_mmtrack_scope()


def is_put_off() -> bool:
    """Whether the command line will call :func:`set_up_if_put_off` instead of the import."""
    return getattr(sys.modules.get('mmvis_cl_command'), 'put_off', False)


def set_up_if_put_off() -> None:
    """Does what the import of the package left out for the command line; see `mmvis_cl_command`.

    Raises:
        ImportError: See :func:`set_up`.
    """
    if is_put_off():
        sys.modules['mmvis_cl_command'].put_off = False
        set_up()


def set_up_in_tool(custom_imports: dict | None = None) -> None:
    """Does what a tool put off until its arguments were read.

    Args:
        custom_imports: Of the config: modules that register parts of the user's.

    Raises:
        InputError: The installation is not usable, or a module cannot be imported.
    """
    try:
        set_up_if_put_off()
    except ImportError as error:
        raise InputError(str(error)) from error
    if custom_imports:
        from mmengine.utils import import_modules_from_strings

        try:
            import_modules_from_strings(**custom_imports)
        except ImportError as error:
            raise InputError(
                f'custom_imports: {error}; put the folder that holds the module into PYTHONPATH'
            ) from error
        except TypeError as error:
            raise InputError(
                f'custom_imports: {error}; write dict(imports=[MODULE, ...])'
            ) from error


def how_to_compile() -> str:
    """The command that compiles mmcv's ops: a Makefile is in a checkout only."""
    if os.path.isfile(Path(__file__).parents[1] / 'Makefile'):
        return '`make ops`'
    return (
        '`pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps '
        '--no-binary :all: onedl-mmcv`'
    )


def has_compiled_ops() -> bool:
    """Whether mmcv's compiled ops are there (and not their placeholder).

    Raises:
        ImportError: They are there, but were compiled for another torch.
    """
    try:
        extension = importlib.import_module('mmcv._ext')
    except ImportError as error:
        torch_version = sys.modules['torch'].__version__
        raise ImportError(
            f"mmcv's compiled ops do not load with torch {torch_version} ({error}): they were "
            f'compiled for another version. {how_to_compile()} compiles them for '
            'this one.'
        ) from error
    return not mmvis_cl_mmcv_ext.is_placeholder(extension)


def _check_versions() -> None:
    for name, lowest, install in _REQUIRED:
        try:
            module = importlib.import_module(name)
        except (ImportError, AssertionError) as error:
            # mmdet asserts that mmcv and mmengine fit.
            raise ImportError(
                f'mmvis_cl needs {name} >= {lowest}, which cannot be imported here ({error}). '
                f'Install {install}.'
            ) from error
        if Version(module.__version__) < Version(lowest):
            raise ImportError(
                f'mmvis_cl needs {name} >= {lowest}, but {name} {module.__version__} is installed. '
                f'Install {install}.'
            )


def _replace_deformable_attention_op() -> None:
    """Lets mmcv's MultiScaleDeformableAttention work on CUDA without its CUDA op.

    The module calls the op for every CUDA tensor and has its PyTorch form for the CPU. Only the
    autograd function in front of the op is replaced, so that the module itself stays as it is.
    """
    attention = importlib.import_module('mmcv.ops.multi_scale_deform_attn')

    class MultiScaleDeformableAttnFunction:
        @staticmethod
        def apply(value, shapes, level_start, locations, weights, im2col_step):
            _say_pytorch_form_is_used()
            return attention.multi_scale_deformable_attn_pytorch(
                value, shapes, locations.type_as(value), weights.type_as(value)
            )

    attention.MultiScaleDeformableAttnFunction = MultiScaleDeformableAttnFunction


def _replace_two_stage_ops() -> None:
    """Lets mmdet's two-stage models run: torchvision has the same NMS and average RoIAlign.

    The ops themselves are replaced, not what calls them: other modules may have that already.
    """
    import torch
    from torchvision import ops

    extension = importlib.import_module('mmcv._ext')
    no_forward = extension.roi_align_forward
    average = 1  # of mmcv's pool modes; 0 is the largest

    def nms(boxes, scores, iou_threshold, offset):
        # with offset 1 a box from 0 to 1 is two pixels wide
        return ops.nms(boxes + boxes.new_tensor([0, 0, offset, offset]), scores, iou_threshold)

    def roi_align_forward(input, rois, output, argmax_y, argmax_x, **sizes):
        if sizes['pool_mode'] != average:
            no_forward()
        shape = sizes['aligned_height'], sizes['aligned_width']
        rest = sizes['spatial_scale'], sizes['sampling_ratio'], sizes['aligned']
        output.copy_(ops.roi_align(input, rois, shape, *rest))

    def roi_align_backward(grad, rois, argmax_y, argmax_x, grad_input, **sizes):
        grad_input += torch.ops.torchvision._roi_align_backward(
            grad,
            rois,
            sizes['spatial_scale'],
            sizes['aligned_height'],
            sizes['aligned_width'],
            *grad_input.shape,
            sizes['sampling_ratio'],
            sizes['aligned'],
        )

    extension.nms = nms
    extension.roi_align_forward, extension.roi_align_backward = (
        roi_align_forward,
        roi_align_backward,
    )


@functools.cache
def _say_pytorch_form_is_used() -> None:
    from mmengine.logging import print_log

    print_log(
        'mmcv has no compiled ops: MultiScaleDeformableAttention runs in its PyTorch form, which '
        'is slower and needs more memory on a GPU. '
        f'{how_to_compile()} compiles them.',
        logger='current',
        level=logging.WARNING,
    )


def _give_back_np_float() -> None:
    """mmdet 3.3's YouTube-VIS evaluation says ``np.float``, which NumPy 1.24 removed."""
    import numpy as np

    if 'float' not in vars(np):
        np.float = float


def _add_mmtrack_scope() -> None:
    """Makes ``mmtrack.X`` and ``default_scope='mmtrack'`` find what mmdet took over as X.

    MMTracking 1.x was merged into mmdet 3.1. Its scope becomes one more child of each of mmdet's
    registries, empty, so that every lookup ends at mmdet's parts.
    """
    from mmdet import registry as mmdet_registry
    from mmengine.registry import Registry

    class MMTrackRegistry(Registry):
        def get(self, key: str) -> type | None:
            name = key.removeprefix('mmtrack.')
            return super().get(_MMTRACK_RENAMED.get(name, name))

    # mmengine imports `mmtrack.registry` before it looks a scope up. There is no package mmtrack.
    module = ModuleType('mmtrack.registry', 'Names of MMTracking 1.x, resolved by mmdet.')
    for name, parent in vars(mmdet_registry).items():
        if isinstance(parent, Registry) and parent.scope == 'mmdet':
            child = MMTrackRegistry(
                parent.name, parent=parent, scope='mmtrack', locations=parent._locations
            )
            child._get_root_registry()._add_child(child)
            setattr(module, name, child)
    sys.modules[module.__name__] = module
