"""A stand-in for ``mmcv._ext`` where mmcv was installed without its compiled ops.

``mmcv.ops`` looks up every op in ``mmcv._ext`` when it is imported, and ``mmdet.models`` imports
``mmcv.ops``, so neither can be imported from an mmcv without ops. With this module imported they
can; an op raises when it is called. ``mmvis_cl_mmcv_ext.pth``, which is installed beside this
module, imports it when Python starts, because a process may well import mmdet before mmvis_cl.
For that reason nothing heavy may be imported here.

A compiled ``mmcv._ext`` is never hidden: the finder below is asked after all others.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = 'mmcv._ext'


def _missing_op(name):
    def op(*args, **kwargs):
        raise RuntimeError(
            f'the op {name!r} of mmcv is not there: mmcv is installed without compiled ops. Build '
            'them with `make ops` in the mmvis_cl repository, or with `pip install '
            '--no-build-isolation --no-cache-dir --force-reinstall --no-deps --no-binary :all: '
            'onedl-mmcv` (about half an hour).'
        )

    op.__name__ = op.__qualname__ = name
    return op


class _Placeholder(ModuleType):
    def __getattr__(self, name):
        # Tools that inspect modules ask for __file__, __path__ and the like: those are not ops.
        if name.startswith('__'):
            raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
        return _missing_op(name)

    # mmcv.utils.collect_env calls these two for its report; they are no ops.

    @staticmethod
    def get_compiler_version():
        return 'n/a (mmcv without compiled ops)'

    @staticmethod
    def get_compiling_cuda_version():
        return 'n/a (mmcv without compiled ops)'


class _PlaceholderFinder:
    """Finder and loader of the placeholder."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return ModuleSpec(NAME, cls) if fullname == NAME else None

    @staticmethod
    def create_module(spec):
        return _Placeholder(NAME)

    @staticmethod
    def exec_module(module):
        pass


def is_placeholder(module) -> bool:
    """Whether ``module`` (``mmcv._ext``) is the stand-in and not the compiled extension."""
    return isinstance(module, _Placeholder)


sys.meta_path.append(_PlaceholderFinder)
