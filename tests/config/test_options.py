"""``--cfg-options``: what is written is what is set, and what cannot be set says so."""

import argparse

import pytest
from mmengine.config import Config

from mmvis_cl.config import CfgOptions, set_options
from mmvis_cl.errors import InputError


def parsed(*texts):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    return parser.parse_args(['--cfg-options', *texts]).cfg_options


def changed(*texts):
    """A config, changed by options."""
    cfg = Config(
        dict(
            folder='data/mine/',
            rate=3e-4,
            model=dict(tracker=dict(type='T', memory_len=3, text='abc'), scales=[4, 8], head=None),
            train_dataloader=dict(
                dataset=dict(root='data/mine/', pipeline=[dict(type='A'), dict(type='B', size=1)])
            ),
            optim_wrapper=dict(optimizer=dict(lr=3e-4)),
            load_from=None,
        )
    )
    before = cfg.to_dict()
    copy = Config(cfg.to_dict())
    set_options(copy, parsed(*texts))
    assert cfg.to_dict() == before
    return copy


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('3', 3),
        ('3e-1', 0.3),
        ('True', True),
        ('false', False),
        ('None', None),
        ('', ''),
        ('word', 'word'),
        ('1,2', [1, 2]),
        ('[1, 2]', [1, 2]),
        ('[7]', [7]),
        ('[]', []),
        ('(1,2.5)', (1, 2.5)),
        ('[(1,2),(3,4)]', [(1, 2), (3, 4)]),
        ('a,b', ['a', 'b']),
        ("'a,b'", 'a,b'),
        ('"[1,2]"', '[1,2]'),
        ("['a,b',c]", ['a,b', 'c']),
        ('a=b', 'a=b'),
        ("driver's", "driver's"),
        ('/my runs/net (1).pth', '/my runs/net (1).pth'),
    ],
)
def test_values(text, value):
    assert changed(f'model.new={text}').model.new == value
    assert type(changed(f'model.new={text}').model.new) is type(value)


def test_lists_are_entered_by_number_and_replaced_whole():
    assert changed('model.scales.1=16').model.scales == [4, 16]
    assert changed('model.scales=[2,4,6]').model.scales == [2, 4, 6]
    cfg = changed('train_dataloader.dataset.pipeline.1.size=5')
    assert cfg.train_dataloader.dataset.pipeline == [dict(type='A'), dict(type='B', size=5)]
    cfg = changed('train_dataloader.dataset.pipeline.0.new.deep=5')
    assert cfg.train_dataloader.dataset.pipeline[0] == dict(type='A', new=dict(deep=5))


def test_none_gives_way_to_a_group_and_a_group_to_none():
    assert changed('model.head.type=H').model.head == dict(type='H')
    assert changed('model.tracker=None').model.tracker is None


def test_a_group_can_be_emptied_first():
    cfg = changed('model.tracker.type=X', 'model.tracker._delete_=True')
    assert cfg.model.tracker == dict(type='X')


def test_options_that_are_given_twice_add_up():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    args = parser.parse_args(['--cfg-options', 'a=1', '--cfg-options', 'b=2', 'a=3'])
    assert args.cfg_options == dict(a=3, b=2)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model.tracker.memory_len', 'is not KEY=VALUE'),
        ('=3', 'is not KEY=VALUE'),
        ('model..x=3', 'is not KEY=VALUE'),
        ('model.scales=[1,2', 'brackets or quotes do not match'),
        ('model.scales=[1,2)', 'brackets or quotes do not match'),
        ('model.tracker={a: 1}', r'set its keys one by one, as model\.tracker\.NAME=VALUE'),
        ('model.scales.2=1', 'model.scales is a list of 2; give a number from 0 to 1'),
        ('model.scales.-1=1', 'model.scales is a list of 2; give a number from 0 to 1'),
        ('model.scales.first=1', 'model.scales is a list of 2; give a number from 0 to 1'),
        ('model.tracker.memory_len.x=1', 'memory_len is 3, and nothing can be set below'),
        ('model.tracker.text.x=1', "text is 'abc', and nothing can be set below"),
        ('model.tracker=3', 'is a group of settings'),
        ('model.tracker.text=a,b', 'was text and is a list now'),
        ('load_from=/a,b/c.pth', 'was text and is a list now'),
        ('load_from=3', 'is no path'),
        ('load_form=x', 'would change nothing; write load_from'),
        ('zzz=1', 'would change nothing; put it into the config file'),
        ('folder=/x/', r'only a name .*; set train_dataloader\.dataset\.root=VALUE'),
        ('rate=1e-3', r'only a name .*; set optim_wrapper\.optimizer\.lr=VALUE'),
    ],
)
def test_what_cannot_be_set(text, message):
    with pytest.raises(InputError, match=message) as caught:
        changed(text)
    assert '\n' not in str(caught.value) and text.split('=')[0] in str(caught.value)
