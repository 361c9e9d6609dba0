"""Compiles mmcv's ops for the torch that is installed, and installs them.

A wheel that was compiled before (kept in ~/.cache/mmvis_cl/wheels, or MMVIS_CL_WHEELS) or that lies
in a folder of PIP_FIND_LINKS is taken instead, if it loads with this torch. CUDA ops are compiled
if torch sees a GPU, or with FORCE_CUDA=1 and nvcc; CPU ops always. Needs ninja, setuptools below 81
and wheel: `make ops` installs them.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

import torch
from rich.progress import track
from torch.utils.cpp_extension import CUDA_HOME

PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check']

# Prints the CUDA version of the compiled ops of the mmcv that is found first, fails if it has none.
PROBE = """
import mmvis_cl_mmcv_ext, torch, mmcv._ext
assert not mmvis_cl_mmcv_ext.is_placeholder(mmcv._ext), 'no compiled ops in it'
from mmcv.ops import get_compiling_cuda_version, nms
nms(torch.tensor([[0., 0., 9., 9.]]), torch.ones(1), 0.5)
print(get_compiling_cuda_version())
"""


def installed_mmcv() -> tuple[str, str]:
    """The name and version of the distribution whose compiled form is wanted."""
    for name, compiled in (('onedl-mmcv', 'onedl-mmcv'), ('mmcv', 'mmcv'), ('mmcv-lite', 'mmcv')):
        try:
            return compiled, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    sys.exit('error: there is no mmcv: install mmvis_cl first (`make test` does)')


def fits(cuda: bool, folder: Path | None = None) -> str | None:
    """Why the mmcv in ``folder``, or the installed one, does not do, or None if it does."""
    env = dict(os.environ, PYTHONPATH=str(folder)) if folder else None
    probe = subprocess.run([sys.executable, '-c', PROBE], env=env, capture_output=True, text=True)
    if probe.returncode != 0:
        return probe.stderr.strip().splitlines()[-1]
    if cuda and 'not' in probe.stdout:
        return 'CPU ops only'
    return None


def wheel_fits(wheel: Path, cuda: bool) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        # mmcv alone, in front of the installed one, so that nothing is replaced before it is tried.
        shutil.unpack_archive(wheel, folder, 'zip')
        reason = fits(cuda, Path(folder))
    print(f'{wheel}: {"fits" if reason is None else f"does not fit ({reason})"}')
    return reason is None


def find_wheel(requirement: str, cache: Path, cuda: bool) -> Path | None:
    """A compiled wheel of an earlier run or from PIP_FIND_LINKS."""
    for wheel in cache.glob('*.whl'):
        if wheel_fits(wheel, cuda):
            return wheel
    if not os.environ.get('PIP_FIND_LINKS'):
        return None
    with tempfile.TemporaryDirectory() as folder:
        options = ['--no-index', '--no-deps', '--only-binary', ':all:', '--dest', folder]
        # A failure only says that there is none.
        subprocess.run([*PIP, 'download', '-q', *options, requirement], capture_output=True)
        for wheel in Path(folder).glob('*.whl'):
            if wheel_fits(wheel, cuda):
                cache.mkdir(parents=True, exist_ok=True)
                return Path(shutil.copy(wheel, cache))
    return None


def build_env(cuda: bool) -> dict[str, str]:
    env = dict(os.environ, MMCV_WITH_OPS='1', FORCE_CUDA=str(int(cuda)))
    env.setdefault('MAX_JOBS', str(os.cpu_count()))
    if cuda and not os.path.exists(Path(CUDA_HOME, 'include', 'cusparse.h')):
        # An nvcc without the libraries' headers: they come with torch's own packages.
        root = Path(sysconfig.get_path('purelib'), 'nvidia')
        for variable, name in (('CPATH', 'include'), ('LIBRARY_PATH', 'lib')):
            folders = [str(path) for path in sorted(root.glob(f'*/{name}'))]
            env[variable] = os.pathsep.join([*folders, *filter(None, [env.get(variable)])])
    return env


def build(requirement: str, cache: Path, cuda: bool) -> Path:
    """Compiles the wheel into ``cache``; shows progress, and the end of the log if it fails."""
    if cuda and CUDA_HOME is None:
        sys.exit(
            'error: torch sees a GPU but there is no nvcc: install the CUDA toolkit '
            f'{torch.version.cuda} and set CUDA_HOME to its folder'
        )
    cores = int(os.environ.get('MAX_JOBS') or os.cpu_count())
    minutes = (132 if cuda else 54) / cores
    cache.mkdir(parents=True, exist_ok=True)
    log_file = cache / 'build.log'
    print(
        f'compiling {requirement} with {"CUDA and CPU" if cuda else "CPU"} ops for torch '
        f'{torch.__version__} on {cores} cores: about {minutes:.0f} minutes. Log: {log_file}'
    )
    with tempfile.TemporaryDirectory() as folder, log_file.open('w') as log:
        # pip's cache would hand out a wheel without ops, or this one for another torch.
        options = ['-v', '--no-build-isolation', '--no-deps', '--no-cache-dir', '--wheel-dir']
        command = [*PIP, 'wheel', *options, folder, '--no-binary', ':all:', requirement]
        process = subprocess.Popen(
            command,
            env=build_env(cuda),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        )

        def steps():
            """Copies the log, yields once for each of ninja's steps, '[3/120] c++ ...'."""
            for line in process.stdout:
                log.write(line)
                log.flush()
                if step := re.match(r'\s*\[(\d+)/(\d+)\] ', line):
                    yield int(step[1]), int(step[2])

        counted = steps()
        first = next(counted, None)
        if first is not None:
            for _ in track(counted, 'compiling', total=first[1] - 1):
                pass
        if process.wait() != 0:
            tail = '\n'.join(log_file.read_text().splitlines()[-30:])
            sys.exit(f'{tail}\nerror: the ops did not compile; the whole log: {log_file}')
        (wheel,) = Path(folder).glob('*.whl')
        return Path(shutil.move(wheel, cache))


def main() -> None:
    cuda = torch.cuda.is_available() or (os.environ.get('FORCE_CUDA') == '1' and bool(CUDA_HOME))
    name, version = installed_mmcv()
    if fits(cuda) is None:
        print(f'{name} {version} has its compiled ops already')
        return

    requirement = f'{name}=={version}'
    python = f'cp{sys.version_info.major}{sys.version_info.minor}'
    root = Path(os.environ.get('MMVIS_CL_WHEELS') or '~/.cache/mmvis_cl/wheels').expanduser()
    cache = root / f'torch{torch.__version__}-{python}-{"cuda" if cuda else "cpu"}'
    wheel = find_wheel(requirement, cache, cuda) or build(requirement, cache, cuda)

    # mmcv-lite owns the same files as mmcv.
    subprocess.run([*PIP, 'uninstall', '-q', '-y', 'mmcv-lite'], check=True, capture_output=True)
    install = ['install', '--no-deps', '--force-reinstall', '--no-index', str(wheel)]
    subprocess.run([*PIP, *install], check=True)
    if reason := fits(cuda):
        sys.exit(f'error: {wheel} was installed, but its ops do not run: {reason}')
    print(f'{requirement} with compiled ops is installed')


if __name__ == '__main__':
    main()
