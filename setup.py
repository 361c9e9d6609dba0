"""Packaging of mmvis_cl.

The ranges are those of requirements/runtime.txt, which names the onedl-* releases of mmengine, mmcv
and mmdet. OpenMMLab's own releases install the same modules under other names, so that pip cannot
know that one does for the other. To use them:

    pip install -r requirements/openmmlab.txt
    pip install --no-deps .
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PTH = 'mmvis_cl_mmcv_ext.pth'


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


def version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'mmvis_cl' / 'version.py').read_text(), scope)
    return scope['__version__']


class BuildPyWithPth(build_py):
    """Puts the .pth file that imports mmvis_cl_mmcv_ext at the top of site-packages.

    setuptools has no option for this. What lies at the top of the build folder gets there, and in
    an editable install, which takes nothing from the build folder, what lies in the wheel's.
    """

    def run(self) -> None:
        super().run()
        folder = self.build_lib
        if self.editable_mode:
            folder = self.get_finalized_command('install').install_lib
        self.copy_file(str(ROOT / PTH), str(Path(folder) / PTH))


setup(
    name='mmvis_cl',
    version=version(),
    description='Online video instance segmentation by contrastive learning, for MMDetection',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmvis_cl', 'mmvis_cl.*']),
    py_modules=['mmvis_cl_mmcv_ext'],
    install_requires=requirements('runtime.txt'),
    extras_require={'dev': requirements('dev.txt')},
    cmdclass={'build_py': BuildPyWithPth},
)
