import subprocess
import sys

import pytest
from mmengine.config import Config

from mmvis_cl.config_names import find_config


def test_the_printed_config_is_the_config(run, tmp_path):
    code, out, _ = run('config', 'r50_ytvis21', '--cfg-options', 'train_dataloader.batch_size=3')
    assert code == 0
    (tmp_path / 'printed.py').write_text(out)
    expected = Config.fromfile(find_config('r50_ytvis21'))
    expected.train_dataloader.batch_size = 3
    assert Config.fromfile(tmp_path / 'printed.py').to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['r50_ytvis99'], 'near it are r50_ytvis'),
        (['r50_ytvis21', '--cfg-options', 'model.tracker.memory_len'], 'is not KEY=VALUE'),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, out, err = run('config', *arguments)
    assert code == 2 and not out and message in err and err.count('\n') == 1


def test_it_needs_no_torch():
    code = (
        'import sys, mmvis_cl_command\n'
        'sys.argv = ["mmvis-cl", "config", "small_paste"]\n'
        'mmvis_cl_command.main()\n'
        'assert "torch" not in sys.modules'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and 'memory_len' in done.stdout, done.stderr
