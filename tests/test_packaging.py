"""What `pip install` brings: built as pip does, without a network."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ('configs', 'mmvis_cl', 'requirements', 'tools')
FILES = ('LICENSE', 'MANIFEST.in', 'README.md', 'pyproject.toml', 'setup.py')
FILES += ('mmvis_cl_command.py', 'mmvis_cl_mmcv_ext.pth', 'mmvis_cl_mmcv_ext.py')


def build(kind: str, source: Path, out: Path) -> Path:
    """A distribution of ``source``; ``kind`` is 'sdist' or 'wheel'."""
    out.mkdir(exist_ok=True)
    code = f'from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})'
    done = subprocess.run([sys.executable, '-c', code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel made from the sdist, as pip does where there is no wheel."""
    tmp = tmp_path_factory.mktemp('packaging')
    checkout = tmp / 'checkout'
    checkout.mkdir()
    for name in FOLDERS:
        ignore = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / name, checkout / name, ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    sdist = build('sdist', checkout, tmp / 'sdist')
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp / 'unpacked', filter='data')
    (source,) = (tmp / 'unpacked').iterdir()
    return build('wheel', source, tmp / 'wheel')


@pytest.fixture(scope='module')
def site(wheel):
    """A folder with the contents of the wheel."""
    folder = wheel.parents[1] / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path, pattern: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob(pattern)
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_the_wheel_holds_the_package_configs_and_tools(site):
    for name, pattern in (('configs', '*.py'), ('tools', '*.py'), ('tools', '*.sh')):
        found = files(site / 'mmvis_cl' / '.mim' / name, pattern)
        assert found == files(ROOT / name, pattern) and found
    for pattern in ('*.py', '*.c', 'py.typed'):
        package = files(ROOT / 'mmvis_cl', pattern)
        installed = files(site / 'mmvis_cl', pattern)
        assert package == {name: text for name, text in installed.items() if '.mim/' not in name}
        assert package
    # at the top of site-packages, or Python does not read it
    assert (site / 'mmvis_cl_mmcv_ext.pth').read_text() == 'import mmvis_cl_mmcv_ext\n'
    assert (site / 'mmvis_cl_mmcv_ext.py').is_file()


def test_metadata(site):
    (info,) = site.glob('*.dist-info')
    text = (info / 'METADATA').read_text()
    assert info.name == 'mmvis_cl-0.2.0.dev0.dist-info'
    assert 'Requires-Python: >=3.10' in text
    assert 'Requires-Dist: onedl-mmdetection' in text
    assert 'Description-Content-Type: text/markdown' in text
    assert '# mmvis_cl\n' in text  # the README
    entry = (info / 'entry_points.txt').read_text()
    assert entry == '[console_scripts]\nmmvis-cl = mmvis_cl_command:main\n'


def python(code: str, site: Path, cwd: Path) -> subprocess.CompletedProcess:
    env = dict(os.environ, PYTHONPATH=str(site))
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env=env, cwd=cwd
    )


def test_help_and_version_come_without_torch(site, tmp_path):
    code = f"""
import sys
import mmvis_cl_command
assert mmvis_cl_command.__file__.startswith({str(site)!r})
commands = ('track', 'convert', 'eval', 'merge', 'config', 'info')
for arguments in (['--version'], ['--help'], *([name, '--help'] for name in commands)):
    sys.argv = ['mmvis-cl', *arguments]
    try:
        mmvis_cl_command.main()
    except SystemExit as stop:
        assert stop.code == 0
heavy = set(sys.modules) & set(('torch', 'numpy', 'mmengine', 'cv2'))
assert not heavy, heavy
"""
    done = python(code, site, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('mmvis_cl 0.2.0.dev0\n')
    for word in ('--out-video', '--reverse', '--long-videos', '--iou-thr', 'bug report'):
        assert word in done.stdout


def test_the_installed_package_finds_its_configs(site, tmp_path):
    code = """
import mmvis_cl_command, sys
mmvis_cl_command.put_off = True
import mmvis_cl
assert 'torch' not in sys.modules
from mmvis_cl import compat
compat.set_up_if_put_off()
assert 'torch' in sys.modules and not compat.is_put_off()
from mmvis_cl.config_names import find_config
print(find_config('r50_ytvis21'))
"""
    done = python(code, site, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = site / 'mmvis_cl' / '.mim' / 'configs' / 'vis_cl' / 'r50_ytvis21.py'
    assert done.stdout.splitlines()[-1] == str(expected)
