"""Tell what is installed here: what to paste into a bug report."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mmvis_cl import compat
from mmvis_cl.version import __version__

# Module, and the distributions that can have brought it, where the names differ.
_MODULES = {
    'torch': (),
    'torchvision': (),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'timm': (),
    'pycocotools': (),
    'av': (),
    'cv2': ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python'),
    'supervision': (),
    'numpy': (),
}
_SETTINGS = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'PYTORCH_CUDA_ALLOC_CONF')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print a line for each fact."""
    facts = list(environment())
    width = max(len(name) for name, _ in facts)
    for name, fact in facts:
        print(f'{name:<{width}}  {fact}')
    return 0


def environment() -> Iterator[tuple[str, str]]:
    """What matters about the installation and the machine; nothing of it needs to be whole.

    Yields:
        (name, fact).
    """
    yield 'mmvis_cl', f'{__version__} in {Path(compat.__file__).parent}{_commit()}'
    yield 'python', f'{platform.python_version()} at {sys.executable}'
    yield 'platform', platform.platform()
    for name, distributions in _MODULES.items():
        yield name, _version(name, distributions)
    yield 'ops of mmcv', _ops()
    yield 'C compiler', _compiler()
    yield from _devices()
    yield 'attention', _attention()
    yield 'H.264', _h264()
    for name in _SETTINGS:
        if name in os.environ:
            yield name, os.environ[name]


def _commit() -> str:
    root = Path(compat.__file__).parents[1]
    if not os.path.exists(root / '.git'):
        return ''
    git = ['git', '-C', str(root)]
    try:
        commit, changes = (
            subprocess.run([*git, *args], capture_output=True, text=True, check=True).stdout
            for args in (['rev-parse', '--short=12', 'HEAD'], ['status', '--porcelain'])
        )
    except (OSError, subprocess.CalledProcessError):
        return ', a checkout (git does not say of which commit)'
    return f', commit {commit.strip()}{" with changes" if changes.strip() else ""}'


def _version(name: str, distributions: tuple[str, ...]) -> str:
    found = []
    for distribution in distributions or (name,):
        try:
            found.append(f'{distribution} {importlib.metadata.version(distribution)}')
        except importlib.metadata.PackageNotFoundError:
            continue
    installed = ' and '.join(found) or 'not installed'
    try:
        version = getattr(importlib.import_module(name), '__version__', None)
    # mmdet asserts that mmcv and mmengine fit, and a broken extension can raise anything
    except Exception as error:
        return f'{installed}; cannot be imported ({type(error).__name__}: {error})'
    return installed if version is None or version in installed else f'{version} ({installed})'


def _ops() -> str:
    try:
        return (
            'compiled'
            if compat.has_compiled_ops()
            else f'not compiled ({compat.how_to_compile()} does)'
        )
    except ImportError as error:
        return str(error)


def _compiler() -> str:
    try:
        from mmvis_cl.ops.compiled_sampling import load_sampling_kernel
        from mmvis_cl.ops.kernel_cache import kernel_folder

        # the smallest one: what is asked is whether it can be had
        _, told = load_sampling_kernel(4, 1, 4)
        where = '; '.join(told) or f'kept in {kernel_folder()}'
        return f'compiles deformable attention for the CPU ({where})'
    except (ImportError, OSError, RuntimeError) as error:
        return f'deformable attention runs in PyTorch on the CPU, slower: {error}'


def _devices() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except ImportError:  # said above
        return
    yield (
        'CPU',
        f'{os.cpu_count()} cores, {torch.get_num_threads()} threads, '
        f'{torch.backends.cpu.get_cpu_capability()}',
    )
    if not torch.cuda.is_available():
        built = f'torch is built for CUDA {torch.version.cuda}' if torch.version.cuda else ''
        yield 'CUDA', f'no device{f" ({built})" if built else ""}'
    else:
        yield 'CUDA', f'{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}'
        for i in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(i)
            yield (
                f'cuda:{i}',
                f'{device.name}, {device.total_memory / 2**30:.1f} GiB, '
                f'compute capability {device.major}.{device.minor}',
            )


def _attention() -> str:
    """The ways by which deformable attention runs where nothing else is asked for."""
    try:
        import torch

        from mmvis_cl.ops.deformable_sums import chosen_way
    except Exception as error:  # said above
        return f'cannot be imported ({type(error).__name__}: {error})'
    devices = [torch.device('cpu')]
    devices += [torch.device('cuda', i) for i in range(torch.cuda.device_count())]
    # heads of 32 channels, four levels and points: those of the configs
    ways = {device: chosen_way('auto', device, torch.float32, (32, 4, 16)) for device in devices}
    return ', '.join(f"'{way}' on {device}" for device, way in ways.items())


def _h264() -> str:
    try:
        from av.codec import Codec

        Codec('libx264', 'w')
    except Exception as error:  # said above if PyAV is absent
        return f'no encoder ({type(error).__name__}), so no --out-video; install PyAV by pip'
    return 'libx264'
