from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from mmvis_cl.engine import ScoreLogProcessor
from mmvis_cl.registry import LOG_PROCESSORS


@pytest.mark.parametrize('digits', [4, 1, 0])
def test_a_score_of_nothing_is_a_dash(digits):
    hub = MessageHub(f'scores of {digits}')
    scores = dict(AP=0.5, AP_m=-1.0, AR_s_short=-1.0, AP50=0.1, other=-1.0, AP_l=-1.5)
    for name, value in scores.items():
        hub.update_scalar(f'test/youtube_vis/{name}', value)
    runner = SimpleNamespace(message_hub=hub, test_dataloader=range(2), test_loop=None)
    runner.test_loop = SimpleNamespace(dataloader=range(2))
    processor = LOG_PROCESSORS.build(
        dict(type='mmvis_cl.ScoreLogProcessor', by_epoch=False, num_digits=digits)
    )
    assert isinstance(processor, ScoreLogProcessor)
    figures, line = processor.get_log_after_epoch(runner, 2, 'test')
    assert figures['youtube_vis/AP_m'] == -1
    shown = dict(item.rsplit(': ', 1) for item in line.split('  ') if 'youtube_vis' in item)
    shown = {name.split('youtube_vis/')[1]: value for name, value in shown.items()}
    assert shown['AP_m'] == shown['AR_s_short'] == '-'
    assert shown['AP'] == f'{0.5:.{digits}f}' and shown['AP50'] == f'{0.1:.{digits}f}'
    assert shown['other'] == f'{-1.0:.{digits}f}' and shown['AP_l'] == f'{-1.5:.{digits}f}'
