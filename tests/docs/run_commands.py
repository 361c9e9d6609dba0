"""Runs the commands of the documentation, for test_commands.py, in a process of its own.

``python run_commands.py JOBS.json RESULTS.json``. The libraries are imported once; each command
gets a fork, so that none sees what another leaves behind. A job is a dict:

- ``kind``: ``run``, run it; ``parse``, let its parser read it and load its configs; ``shell``, run
  a shell script whose ``python`` and ``srun`` only write down what they were to start, and parse
  that; ``python``, execute source text; ``config``, load source text as a config.
- ``words``, the command, or ``source``; ``cwd``; ``env``.

The result of a job is '' or what went wrong.
"""

import argparse
import glob
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import matplotlib
from mmengine.config import Config

import mmvis_cl.apis
import mmvis_cl.engine
import mmvis_cl.evaluation
import mmvis_cl.models  # noqa: F401
from mmvis_cl.cli.command_line import main as command_line

matplotlib.use('Agg')
SECONDS = 120
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done > "$RECORD"
"""


class Parsed(BaseException):
    """Ends a program when its arguments have been read."""

    def __init__(self, namespace: argparse.Namespace) -> None:
        self.namespace = namespace


def run(words: list[str]) -> None:
    """Run a Python tool or mmvis-cl in this process."""
    if words[0] == 'mmvis-cl':
        code = command_line(words[1:])
        if code:
            raise SystemExit(code)
    elif words[:3] == ['python', '-m', 'mmvis_cl']:
        run(['mmvis-cl', *words[3:]])
    else:
        assert words[0] == 'python', words
        sys.argv = words[1:]
        sys.path.insert(0, str(Path(words[1]).parent))
        runpy.run_path(words[1], run_name='__main__')


def parse(words: list[str]) -> None:
    """Let the program read its arguments, load the configs among them, look for their options."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(*args, **kwargs):
        raise Parsed(original(*args, **kwargs))

    argparse.ArgumentParser.parse_args = parse_args
    try:
        run(words)
        raise AssertionError('the program read no arguments')
    except Parsed as parsed:
        options = getattr(parsed.namespace, 'cfg_options', None) or {}
    finally:
        argparse.ArgumentParser.parse_args = original
    for word in words[2:]:
        if word.startswith(('configs/', 'projects/')):
            config = Config.fromfile(word)
            for key in options:
                parent = config
                for part in key.split('.')[:-1]:
                    parent = parent[part]  # a KeyError names the option that leads nowhere


def shell(words: list[str], env: dict[str, str]) -> None:
    """Run a script with stand-ins for python and srun, and parse what it was to start."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ('python', 'srun'):
            (Path(folder) / name).write_text(RECORDER)
            (Path(folder) / name).chmod(0o755)
        record = Path(folder) / 'record'
        path = f'{folder}:{os.environ["PATH"]}'
        extra = dict(PYTHON=f'{folder}/python', PATH=path, RECORD=str(record))
        subprocess.run(['bash', *words], env={**os.environ, **extra, **env}, check=True)
        started = record.read_text().splitlines()
    tools = [n for n, word in enumerate(started) if word.endswith(('/train.py', '/test.py'))]
    parse(['python', *started[tools[0] :]])


def load_config(source: str) -> None:
    """Load a config as a user would write it down."""
    path = Path('config_of_the_documentation.py')
    path.write_text(source.replace('path/to/', ''))
    Config.fromfile(path)


def do(job: dict) -> None:
    """Do one job."""
    os.chdir(job['cwd'])
    os.environ.update(job.get('env', {}))
    kind = job['kind']
    if kind == 'run':
        # as a shell does it, where something matches
        run([name for word in job['words'] for name in sorted(glob.glob(word)) or [word]])
    elif kind == 'parse':
        parse(job['words'])
    elif kind == 'shell':
        shell(job['words'], job.get('env', {}))
    elif kind == 'config':
        load_config(job['source'])
    else:
        exec(compile(job['source'], 'the documentation', 'exec'), {'__name__': '__main__'})


def in_fork(job: dict) -> str:
    """Do a job in a fork of this process; '' or the end of its output."""
    with tempfile.TemporaryFile() as log:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
                signal.alarm(SECONDS)
                do(job)
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status == 0:
            return ''
        log.seek(0)
        text = log.read().decode(errors='replace')
    return f'exit code {os.waitstatus_to_exitcode(status)}\n{text[-2500:]}'


if __name__ == '__main__':
    jobs = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([in_fork(job) for job in jobs]))
