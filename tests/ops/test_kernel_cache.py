"""No kernel runs that others could have put there, that is torn or that computes wrong numbers."""

import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmvis_cl.ops import compiled_sampling, kernel_cache, try_kernel
from mmvis_cl.ops.kernel_cache import Kernel, UnusableError, kernel_folder, load_kernel

COMPILER = next(filter(None, map(shutil.which, ('cc', 'gcc', 'clang'))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason='there is no C compiler here')
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
NOBODY = 65534
SIZES = 4, 1, 4
SOURCE = compiled_sampling.SOURCE.read_text()


def compiled(folder, name, source):
    """The bytes of a library, compiled the quick way."""
    (folder / f'{name}.c').write_text(source)
    channels, levels, points = SIZES
    numbers = f'-DCHANNELS={channels} -DLEVELS={levels} -DPOINTS={points} -DLANES=4'.split()
    library = folder / f'{name}.so'
    command = [COMPILER, '-O0', '-shared', '-fPIC', *numbers, str(folder / f'{name}.c'), '-lm']
    subprocess.run([*command, '-o', str(library)], check=True, timeout=60)
    return library.read_bytes()


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp('good'), 'good', SOURCE)


@pytest.fixture
def room(tmp_path):
    """Where a test may write."""
    return tmp_path


@pytest.fixture
def folder(room, monkeypatch):
    folder = room / 'kernels'
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(folder))
    return folder


@pytest.fixture
def kernel(good):
    """A kernel whose compiler copies a library. `kernel.compile.paths`: where it was asked to."""

    def copy(path):
        copy.paths.append(path)
        path.write_bytes(good)
        return ''

    copy.paths = []
    return Kernel('kernel', b'source and compiler', copy, SIZES, ())


def works(library):
    return try_kernel.wrong(library, *SIZES, 2) == ''


def placed(folder, kernel, content, name=None):
    """Put a library into the folder, under the name that it must have or another."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / (name or kernel.file_name(content))
    path.write_bytes(content)
    path.chmod(0o700)
    return path


def test_a_library_is_compiled_once_and_kept_for_us_alone(kernel, folder):
    mask = os.umask(0)
    try:
        library, told = load_kernel(kernel)
    finally:
        os.umask(mask)
    assert works(library) and told == []
    again, told = load_kernel(kernel)
    assert works(again) and told == []
    assert len(kernel.compile.paths) == 1
    (kept,) = (path for path in folder.iterdir() if path.name != '.lock')
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, kept)] == ['0o700', '0o700']
    other = kernel._replace(identity=b'source and another compiler')
    load_kernel(other)
    assert len(kernel.compile.paths) == 2


@pytest.mark.parametrize('kept', [0, 1, 4, 63, 64, 1000, 0.5, 0.9, -4097, -1])
def test_a_torn_library_is_compiled_anew(good, kernel, folder, kept):
    length = int(kept * len(good)) if isinstance(kept, float) else kept
    path = placed(folder, kernel, good[:length], kernel.file_name(good))
    library, told = load_kernel(kernel)
    assert works(library)
    assert len(told) == 2 and f'{path} is removed: it is torn' in told[0] and 'anew' in told[1]
    assert path.read_bytes() == good


def aarch64(good):
    return good[:18] + b'\xb7\x00' + good[20:]


def zeros(good):
    return bytes(len(good))


def flipped(good):
    middle = len(good) // 2
    return good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]


def text(good):
    return 'This is no library: ä.\n'.encode('latin-1')


@pytest.mark.parametrize('change', [aarch64, zeros, flipped, text])
def test_a_foreign_file_is_not_loaded(good, kernel, folder, change):
    path = placed(folder, kernel, change(good), kernel.file_name(good))
    library, told = load_kernel(kernel)
    assert works(library) and 'it is torn, or was changed' in told[0]
    assert path.read_bytes() == good


@pytest.mark.parametrize('change', [aarch64, text, zeros, lambda good: good[:5000]])
def test_what_cannot_be_loaded_is_not_whatever_its_name_says(good, kernel, folder, change):
    """Under the right name for its bytes: torn before it was named, or of another machine."""
    path = placed(folder, kernel, change(good))
    library, told = load_kernel(kernel)
    assert works(library) and not path.exists()
    assert f'{path} is removed: it c' in told[0]  # cannot be loaded, or crashes


CONSTRUCTOR = '#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) void begin() '
FAULTS = {
    'no symbol': ('int nothing;', 'it has no function sample_forward'),
    'one symbol': ('void sample_forward() {}', 'it has no function sample_backward'),
    'nothing done': ('void sample_forward() {} void sample_backward() {}', 'wrong sums'),
    'sums': (SOURCE.replace('sum[0][i] + sum[1][i]', 'sum[0][i]'), 'wrong sums'),
    'softmax': (SOURCE.replace('* rest + 0.5f', '* rest + 0.4f'), 'wrong sums'),
    'values': (SOURCE.replace('grad[i] * share', 'grad[i]'), 'gradients of the values'),
    'places': (SOURCE.replace('by_x[p] *= weights[p];', ''), 'of the distances and weights'),
    'weights': (SOURCE.replace('(by_weight[p] - mean)', 'by_weight[p]'), 'distances and weights'),
    'boxes': (SOURCE.replace('moved[3] +=', 'moved[3] -='), 'gradients of the references'),
    'crash': (
        'void sample_forward() { *(volatile int *)0 = 1; } void sample_backward() {}',
        'it crashes (Segmentation fault',
    ),
    'abort': (CONSTRUCTOR + '{ abort(); }', 'it crashes (Abort'),
    'end': (CONSTRUCTOR + '{ _exit(0); }', 'it ends the process with status 0'),
    'hang': (CONSTRUCTOR + '{ for (;;) pause(); }', 'took more than'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_library_that_fails_its_trial_is_not_loaded(kernel, folder, fault, tmp_path, monkeypatch):
    source, words = FAULTS[fault]
    assert source != SOURCE
    if fault == 'hang':
        monkeypatch.setattr(kernel_cache, 'TRIAL_SECONDS', 0.5)
    content = compiled(tmp_path, 'bad', source)
    path = placed(folder, kernel, content)
    # Without a compiler that makes a better one, there is no kernel, and nothing is kept.
    bad = kernel._replace(compile=lambda path: path.write_bytes(content) and '')
    with pytest.raises(UnusableError, match=re.escape(words)):
        load_kernel(bad)
    assert not path.exists() and {p.name for p in folder.iterdir()} <= {'.lock'}
    # With one, it takes the place.
    path = placed(folder, kernel, content)
    monkeypatch.undo()
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(folder))
    if fault != 'hang':
        library, told = load_kernel(kernel)
        assert works(library) and words in told[0] and not path.exists()


def a_folder(path):
    path.mkdir(parents=True)
    (path / 'file').write_text('')


def a_pipe(path):
    os.mkfifo(path)


def a_link(path):
    (path.parent.parent / 'elsewhere').write_bytes(b'')
    path.symlink_to(path.parent.parent / 'elsewhere')


def a_dangling_link(path):
    path.symlink_to(path.parent / 'nowhere')


def a_loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize('make', [a_folder, a_pipe, a_link, a_dangling_link, a_loop])
@pytest.mark.parametrize('same_name', [True, False])
def test_what_is_no_file_is_removed(good, kernel, folder, make, same_name):
    folder.mkdir(mode=0o700)
    path = folder / (kernel.file_name(good) if same_name else f'kernel-{kernel.key}-0.so')
    make(path)
    library, told = load_kernel(kernel)
    assert works(library) and len(told) == 2 and str(path) in told[0]
    assert [p.name for p in folder.glob('*.so')] == [kernel.file_name(good)]
    assert load_kernel(kernel)[1] == []


@pytest.mark.parametrize('place', ['the lock is a folder', 'the folder is a file', 'a file above'])
def test_where_nothing_can_be_kept_it_is_compiled_for_the_run(
    kernel, folder, place, monkeypatch, tmp_path
):
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    if place == 'the lock is a folder':
        (folder / '.lock').mkdir(parents=True)
        folder.chmod(0o700)
    elif place == 'the folder is a file':
        folder.write_text('')
    else:
        (tmp_path / 'file').write_text('')
        monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'file' / 'kernels'))
    library, told = load_kernel(kernel)
    assert works(library)
    assert len(told) == 1 and told[0].startswith('it is compiled for this run alone, because')
    assert kernel.compile.paths[0].is_relative_to(temporary)
    assert list(temporary.iterdir()) == []


def test_a_folder_for_temporary_files_in_which_others_write_will_not_do(
    kernel, folder, monkeypatch, tmp_path
):
    folder.write_text('')
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    temporary.chmod(0o777)
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    with pytest.raises(UnusableError, match=f'others may write to {temporary}'):
        load_kernel(kernel)
    temporary.chmod(0o1777)
    assert works(load_kernel(kernel)[0])


# Who could put a library there: each gets the folder of a kernel whose library is hostile.


def all_may_write(library):
    library.parent.chmod(0o777)
    return library.parent


def the_group_may_write(library):
    library.parent.chmod(0o720)
    return library.parent


def all_may_write_above(library):
    library.parent.parent.chmod(0o777)
    return library.parent.parent


def the_folder_is_anothers(library):
    os.chown(library.parent, NOBODY, -1)
    return library.parent


def the_folder_above_is_anothers(library):
    os.chown(library.parent.parent, NOBODY, -1)
    return library.parent.parent


def a_link_to_a_folder_of_all(library):
    others = library.parent.parent.parent / 'others'
    library.parent.rename(others)
    others.chmod(0o777)
    library.parent.symlink_to(others)
    return others


def all_may_write_the_library(library):
    library.chmod(0o777)
    return library


def the_library_is_anothers(library):
    os.chown(library, NOBODY, -1)
    return library


def the_library_is_a_link(library):
    target = library.parent.parent / 'hostile.so'
    library.rename(target)
    library.symlink_to(target)
    return library


def the_library_is_ours_but_another(library):
    return library


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    """The name that the real kernel's library has, and one that leaves a marker when loaded."""
    tmp_path = tmp_path_factory.mktemp('hostile')
    marker = tmp_path / 'marker'
    code = f'#include <stdio.h>\n{CONSTRUCTOR}{{ fclose(fopen("{marker}", "w")); }}\n{SOURCE}'
    content = compiled(tmp_path, 'hostile', code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_sampling, 'FLAGS', '-O0 -shared -fPIC')
        patch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'kernels'))
        compiled_sampling.sampling_kernel.cache_clear()
        assert compiled_sampling.sampling_kernel(*SIZES)
    (library,) = (tmp_path / 'kernels').glob('*.so')
    # It does leave it.
    subprocess.run(
        [
            sys.executable,
            '-c',
            'import ctypes, sys; ctypes.CDLL(sys.argv[1])',
            tmp_path / 'hostile.so',
        ],
        check=True,
        timeout=60,
    )
    marker.unlink()
    return library.name, content, marker


@pytest.mark.parametrize(
    'others',
    [
        all_may_write,
        the_group_may_write,
        all_may_write_above,
        a_link_to_a_folder_of_all,
        all_may_write_the_library,
        the_library_is_a_link,
        the_library_is_ours_but_another,
        pytest.param(the_folder_is_anothers, marks=needs_root),
        pytest.param(the_folder_above_is_anothers, marks=needs_root),
        pytest.param(the_library_is_anothers, marks=needs_root),
    ],
)
def test_a_library_that_others_could_have_put_there_does_not_run(
    hostile, others, tmp_path, monkeypatch
):
    name, content, marker = hostile
    folder = tmp_path / 'above' / 'kernels'
    folder.mkdir(parents=True, mode=0o700)
    (folder / name).write_bytes(content)
    (folder / name).chmod(0o700)
    culprit = others(folder / name)
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(folder))
    monkeypatch.setattr(compiled_sampling, 'FLAGS', '-O0 -shared -fPIC')
    said = []
    monkeypatch.setattr(compiled_sampling, 'print_log', lambda line, **options: said.append(line))
    compiled_sampling.sampling_kernel.cache_clear()
    try:
        assert works(compiled_sampling.sampling_kernel(*SIZES))
    finally:
        compiled_sampling.sampling_kernel.cache_clear()
    assert not marker.exists()
    assert len(said) == 1 and str(culprit) in said[0] and '\n' not in said[0]


def test_a_folder_that_others_can_only_read_is_kept(good, kernel, folder):
    """As those that were made before had it."""
    placed(folder, kernel, good)
    folder.chmod(0o755)
    library, told = load_kernel(kernel)
    assert works(library) and told == [] and kernel.compile.paths == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_file_that_was_looked_at_is_loaded(good, kernel, folder, tmp_path, monkeypatch):
    """Another that gets its name between the look and the loading is not."""
    path = placed(folder, kernel, good)
    other = compiled(tmp_path, 'other', 'void sample_forward() {} void sample_backward() {}')

    def swap(*args):
        done = run(*args)
        path.unlink()
        path.write_bytes(other)
        return done

    run = kernel_cache.run_limited
    monkeypatch.setattr(kernel_cache, 'run_limited', swap)
    if not os.path.exists(kernel_cache._OPEN_FILES):
        pytest.skip('no library can be loaded by its descriptor here')
    library, _ = load_kernel(kernel)
    assert works(library)


def test_without_proc_it_is_loaded_by_its_path(kernel, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, '_OPEN_FILES', str(tmp_path / 'none'))
    for _ in range(2):
        library, told = load_kernel(kernel)
        assert works(library) and told == []
    assert len(kernel.compile.paths) == 1


@pytest.mark.parametrize('home', [None, '', 'relative'])
def test_without_a_home_the_user_database_says_it(home, tmp_path, monkeypatch):
    for name in ('MMVIS_CL_KERNELS', 'XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv('HOME', home)
    user = SimpleNamespace(pw_dir=str(tmp_path / 'home'))
    monkeypatch.setattr(pwd, 'getpwuid', {os.geteuid(): user}.__getitem__)
    expected = Path(os.path.realpath(tmp_path)) / 'home/.cache/mmvis_cl/kernels'
    assert kernel_folder() == expected
    monkeypatch.setenv('MMVIS_CL_KERNELS', '~/mine')
    assert kernel_folder() == expected.parents[2] / 'mine'
    modes = {oct(path.stat().st_mode & 0o777) for path in (expected, *expected.parents[:3])}
    assert modes == {'0o700'}


def test_a_user_without_any_home_gets_the_kernel_for_the_run(kernel, monkeypatch):
    for name in ('MMVIS_CL_KERNELS', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', '')
    monkeypatch.setattr(pwd, 'getpwuid', {}.__getitem__)
    library, told = load_kernel(kernel)
    assert works(library) and len(told) == 1 and 'HOME is not set' in told[0]


@pytest.mark.parametrize(
    ('variables', 'where'),
    [
        (dict(MMVIS_CL_KERNELS='{0}/a', XDG_CACHE_HOME='{0}/b', HOME='{0}/c'), 'a'),
        (dict(MMVIS_CL_KERNELS='~/a', XDG_CACHE_HOME='{0}/b', HOME='{0}/c'), 'c/a'),
        (dict(MMVIS_CL_KERNELS='', XDG_CACHE_HOME='{0}/b', HOME='{0}/c'), 'b/mmvis_cl/kernels'),
        (dict(XDG_CACHE_HOME='b', HOME='{0}/c'), 'c/.cache/mmvis_cl/kernels'),
        (dict(XDG_CACHE_HOME='', HOME='{0}/c'), 'c/.cache/mmvis_cl/kernels'),
    ],
)
def test_where_kernels_are_kept(variables, where, tmp_path, monkeypatch):
    for name in ('MMVIS_CL_KERNELS', 'XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert kernel_folder() == Path(os.path.realpath(tmp_path)) / where


def test_other_systems_go_without(kernel, monkeypatch):
    monkeypatch.setattr(kernel_cache, 'os', SimpleNamespace(name='nt'))
    with pytest.raises(UnusableError, match='Linux and macOS only'):
        load_kernel(kernel)


def test_it_can_be_imported_where_there_is_no_posix():
    code = (
        'import runpy, sys\n'
        'for name in ("fcntl", "pwd", "grp", "resource"): sys.modules[name] = None\n'
        'runpy.run_path(sys.argv[1])'
    )
    command = [sys.executable, '-c', code, kernel_cache.__file__]
    subprocess.run(command, check=True, timeout=60)


# Processes of their own. They need no more of the package than the module.

PROCESS = """
import importlib.util, os, shutil, sys, time
from pathlib import Path
module, good, paths, seconds = sys.argv[1:]
spec = importlib.util.spec_from_file_location('kernel_cache', module)
cache = importlib.util.module_from_spec(spec)
sys.modules['kernel_cache'] = cache
spec.loader.exec_module(cache)

def compile_to(path):
    with open(paths, 'a') as file:
        file.write(f'{path}\\n')
    path.write_bytes(b'torn')
    time.sleep(float(seconds))
    shutil.copyfile(good, path)
    return ''

try:
    _, told = cache.load_kernel(
        cache.Kernel('kernel', b'source and compiler', compile_to, (4, 1, 4), ())
    )
    print('loaded', *told)
except cache.UnusableError as error:
    print('unusable', error)
"""


@pytest.fixture
def processes(good, room, folder):
    """Starts processes that load the kernel; none outlives the test."""
    started = []
    (room / 'good.so').write_bytes(good)

    def start(seconds, python=sys.executable, module=kernel_cache.__file__, **options):
        files = module, room / 'good.so', room / 'paths', seconds
        with open(room / f'said{len(started)}', 'w') as said:
            process = subprocess.Popen(
                [python, '-c', PROCESS, *map(str, files)], stdout=said, stderr=said, **options
            )
        process.said = Path(said.name)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def wait_for(path, process):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, process.said.read_text()
        time.sleep(0.01)


def test_of_several_processes_one_compiles(processes, folder, tmp_path):
    several = [processes(0.5) for _ in range(3)]
    for process in several:
        assert process.wait(60) == 0
        assert process.said.read_text() == 'loaded\n'
    assert len((tmp_path / 'paths').read_text().splitlines()) == 1
    assert len(list(folder.glob('*.so'))) == 1 and not list(folder.glob('.compiling-*'))


def test_what_a_killed_compilation_leaves_is_cleaned(processes, kernel, folder, tmp_path):
    killed = processes(1000)
    wait_for(tmp_path / 'paths', killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert len(list(folder.glob('.compiling-*'))) == 1
    library, told = load_kernel(kernel)
    assert works(library) and told == []
    assert not list(folder.glob('.compiling-*'))


def test_a_compilation_that_runs_is_left_alone(processes, kernel, folder, tmp_path, monkeypatch):
    running = processes(1000)
    wait_for(tmp_path / 'paths', running)
    scratch = list(folder.glob('.compiling-*'))
    monkeypatch.setattr(kernel_cache, 'WAITING_SECONDS', 0.1)
    library, told = load_kernel(kernel)
    assert works(library) and len(told) == 1 and 'another process compiles in' in told[0]
    assert running.poll() is None
    assert len(scratch) == 1 and list(folder.glob('.compiling-*')) == scratch


@needs_root
class TestNotRoot:
    """What another user sees, who may look into no folder of pytest."""

    @pytest.fixture
    def room(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)
            yield Path(folder)

    @pytest.mark.parametrize('state', ["root's", 'read-only', 'its own', 'no home'])
    def test_a_user(self, processes, folder, state, room, monkeypatch):
        """By the system's Python, as ours can be where only root reads."""
        python = '/usr/bin/python3'
        version = 'import sys; sys.exit(sys.version_info < (3, 10))'
        nobody = dict(user=NOBODY, group=NOBODY, extra_groups=[])
        try:
            subprocess.run([python, '-c', version], check=True, timeout=60, **nobody)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip('there is no Python here that others may run')
        (room / 'paths').touch()
        (room / 'paths').chmod(0o666)
        (room / 'good.so').chmod(0o644)
        if state == 'no home':
            monkeypatch.delenv('MMVIS_CL_KERNELS')
            monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
            monkeypatch.setenv('HOME', '')
        else:
            folder.mkdir(mode=0o755)
            if state != "root's":
                os.chown(folder, NOBODY, NOBODY)
            if state == 'read-only':
                folder.chmod(0o500)
        words = {
            "root's": f'{folder} is not of user {NOBODY}, but of user 0',
            'read-only': 'Permission denied',
            'its own': '',
            'no home': 'it is compiled for this run alone',
        }[state]
        module = room / 'kernel_cache.py'
        shutil.copy(kernel_cache.__file__, module)
        shutil.copy(try_kernel.__file__, room)
        process = processes(0, python, module, **nobody)
        assert process.wait(60) == 0
        said = process.said.read_text()
        assert said.startswith('loaded') and words in said and said.count('\n') == 1
        if state == 'its own':
            assert said == 'loaded\n' and folder.stat().st_mode & 0o777 == 0o700


def test_nobody_waits_for_what_a_program_leaves_behind(tmp_path):
    """It could hold a pipe open for good."""
    script = f'sleep 300 & echo $! > {tmp_path}/left; echo done'
    code, said = kernel_cache.run_limited(['sh', '-c', script], 60)
    left = int((tmp_path / 'left').read_text())
    try:
        assert (code, said) == (0, 'done\n')
        os.kill(left, 0)  # it runs still
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_program_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    script = f'sleep 300 & echo $! > {tmp_path}/left; wait'
    with pytest.raises(UnusableError, match=r'^sh took more than 1 s$'):
        kernel_cache.run_limited(['sh', '-c', script], 1)
    left = int((tmp_path / 'left').read_text())
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.kill(left, 0)
            with open(f'/proc/{left}/stat') as file:  # a zombie is dead
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return
        except OSError:
            return
        time.sleep(0.01)
    pytest.fail('it runs still')


def test_the_functions_of_a_library_are_its_own(kernel, folder, good, tmp_path):
    """Two kernels in a process do not take each other's place, though each was opened by number."""
    first, _ = load_kernel(kernel)
    for n in range(3):
        other = kernel._replace(name=f'other{n}')
        second, _ = load_kernel(other)
        addresses = {
            ctypes.cast(library.sample_forward, ctypes.c_void_p).value
            for library in (first, second)
        }
        assert len(addresses) == 2
