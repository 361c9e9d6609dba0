"""Packaging of mmvis_cl.

The ranges are those of requirements/runtime.txt, which names the onedl-* releases of mmengine, mmcv
and mmdet. OpenMMLab's own releases install the same modules under other names, so that pip cannot
know that one does for the other. To use them:

    pip install -r requirements/openmmlab.txt
    pip install --no-deps .
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PTH = 'mmvis_cl_mmcv_ext.pth'
# Where mim, and `mmvis_cl.apis.find_config`, look for what is not Python code of the package.
MIM = Path('mmvis_cl') / '.mim'
MIM_FOLDERS = ('configs', 'tools')


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


def version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'mmvis_cl' / 'version.py').read_text(), scope)
    return scope['__version__']


class BuildPy(build_py):
    """Adds what setuptools has no option for.

    The .pth file that imports mmvis_cl_mmcv_ext goes to the top of site-packages. What lies at the
    top of the build folder gets there, and in an editable install, which takes nothing from the
    build folder, what lies in the wheel's. Configs and tools go into the package; an editable
    install finds them beside it.
    """

    def run(self) -> None:
        super().run()
        folder = self.build_lib
        if self.editable_mode:
            folder = self.get_finalized_command('install').install_lib
        else:
            for name in MIM_FOLDERS:
                target = Path(self.build_lib) / MIM / name
                shutil.rmtree(target, ignore_errors=True)  # of an earlier build
                shutil.copytree(
                    ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__', '*.py[cod]')
                )
        self.copy_file(str(ROOT / PTH), str(Path(folder) / PTH))


setup(
    name='mmvis_cl',
    version=version(),
    description='Online video instance segmentation by contrastive learning, for MMDetection',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='video instance segmentation, tracking, contrastive learning, MMDetection',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmvis_cl', 'mmvis_cl.*']),
    package_data={
        'mmvis_cl': ['py.typed'],
        'mmvis_cl.ops': ['*.c'],
        'mmvis_cl.report': ['*.css', '*.js'],
    },
    py_modules=['mmvis_cl_mmcv_ext', 'mmvis_cl_command'],
    entry_points={'console_scripts': ['mmvis-cl = mmvis_cl_command:main']},
    install_requires=requirements('runtime.txt'),
    extras_require={
        name: requirements(f'{name}.txt')
        for name in ('app', 'dev', 'docs', 'measures', 'onnx', 'openvino', 'ray', 'remote')
    },
    cmdclass={'build_py': BuildPy},
)
