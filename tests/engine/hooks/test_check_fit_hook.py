from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import BaseLoop
from torch import nn

from mmvis_cl.engine import CheckFitHook
from mmvis_cl.engine.hooks.check_fit_hook import compare_weights
from mmvis_cl.errors import InputError

# what a resumed training needs beside weights
STATE = dict(meta=dict(iter=2, epoch=0), optimizer={}, message_hub={})


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.cls = nn.Linear(4, num_classes)
        self.reg = nn.Linear(4, 4)


def model(num_classes):
    detector = nn.Module()
    detector.backbone = nn.Linear(3, 4)
    detector.bbox_head = Head(num_classes)
    root = nn.Module()
    root.detector = detector
    return root


class Loop(BaseLoop):
    def run(self):
        pass


class Logger:
    def __init__(self):
        self.lines = []

    def warning(self, line):
        self.lines.append(line)


def runner(num_classes=3, train=None, test=None, resume=False):
    """A stand-in with what the hook reads; ``train`` and ``test`` are class lists."""

    def loop(classes):
        if classes is None:
            return dict(type='Loop')  # not built, as mmengine leaves loops that are not run
        dataset = SimpleNamespace(metainfo=dict(classes=classes))
        built = Loop.__new__(Loop)
        built.dataloader = SimpleNamespace(dataset=dataset)
        return built

    return SimpleNamespace(
        model=model(num_classes),
        _train_loop=loop(train),
        _val_loop=None,
        _test_loop=loop(test),
        _resume=resume,
        _load_from='some.pth',
        logger=Logger(),
        cfg=dict(),
    )


def test_fitting_classes_pass():
    CheckFitHook().before_run(runner(3, train='abc', test='abc'))


def test_wrong_num_classes_names_both_numbers_and_the_keys():
    with pytest.raises(InputError) as error:
        CheckFitHook().before_run(runner(8, test='abc'))
    message = str(error.value)
    assert '\n' not in message
    assert message.startswith('model.detector.bbox_head.num_classes is 8')
    assert 'test_dataloader has 3 classes' in message
    assert 'set model.detector.bbox_head.num_classes=3' in message


def test_every_split_in_use_is_looked_at():
    with pytest.raises(InputError, match='data set of train_dataloader has 4 classes'):
        CheckFitHook().before_run(runner(3, train='abcd', test='abc'))


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_fitting_checkpoint_passes(prefix):
    weights = {prefix + key: value for key, value in model(3).state_dict().items()}
    for checkpoint, run in (
        (dict(state_dict=weights), runner(test='abc')),
        (weights, runner(test='abc')),
        (weights, runner(train='abc')),
        (dict(STATE, state_dict=weights), runner(train='abc', resume=True)),
    ):
        CheckFitHook().after_load_checkpoint(run, checkpoint)
        assert run.logger.lines == []


def error_of(checkpoint, **kwargs):
    with pytest.raises(InputError) as error:
        CheckFitHook().after_load_checkpoint(runner(**kwargs), checkpoint)
    assert '\n' not in str(error.value)
    assert 'some.pth' in str(error.value)
    return str(error.value)


def test_a_checkpoint_with_other_classes():
    checkpoint = dict(STATE, state_dict=model(5).state_dict())
    for kwargs in (dict(test='abc'), dict(train='abc', resume=True)):
        message = error_of(checkpoint, **kwargs)
        assert '2 weights of another shape' in message
        assert '(5, 4) in the checkpoint, (3, 4) in the model' in message
        assert 'num_classes differs' in message


def test_a_checkpoint_of_another_config():
    weights = model(3).state_dict()
    del weights['detector.backbone.bias']
    weights['neck.weight'] = torch.zeros(1)
    message = error_of(dict(state_dict=weights), test='abc')
    assert '1 missing (detector.backbone.bias)' in message
    assert '1 that the model does not have (neck.weight)' in message
    assert 'another config' in message


@pytest.mark.parametrize('checkpoint', [{}, dict(state_dict={}), {'a.weight': torch.zeros(2)}])
@pytest.mark.parametrize('kwargs', [dict(test='abc'), dict(train='abc')])
def test_a_checkpoint_of_another_program(checkpoint, kwargs):
    assert 'none of the 6 weights' in error_of(checkpoint, **kwargs)


@pytest.mark.parametrize('checkpoint', [[], 'text', dict(state_dict=[1])])
def test_what_is_no_checkpoint(checkpoint):
    for kwargs in (dict(test='abc'), dict(train='abc'), dict(train='abc', resume=True)):
        assert 'some.pth: holds a ' in error_of(checkpoint, **kwargs)


@pytest.mark.parametrize('lost', ['meta', 'optimizer', 'message_hub'])
def test_weights_alone_are_not_resumed_from(lost):
    checkpoint = dict(STATE, state_dict=model(3).state_dict())
    del checkpoint[lost]
    message = error_of(checkpoint, train='abc', resume=True)
    assert f'no state of a training to resume ({lost})' in message
    assert 'without --resume, with --cfg-options load_from=some.pth' in message


def test_fine_tuning_on_other_classes_goes_on_with_one_line():
    run = runner(train='abc')
    CheckFitHook().after_load_checkpoint(run, dict(state_dict=model(5).state_dict()))
    (line,) = run.logger.lines
    assert 'detector.bbox_head.cls.weight, detector.bbox_head.cls.bias' in line
    assert '4 of 6 weights are loaded, the others of the model start fresh' in line


def test_weights_without_the_counters_of_norms_fit():
    """The release saves none, so a converted checkpoint has none."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weights = model.state_dict()
    del weights['1.num_batches_tracked']
    assert compare_weights('some.pth', weights, model) is None
    del weights['1.running_mean']
    assert '1 missing (1.running_mean)' in compare_weights('some.pth', weights, model).what


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (torch.tensor([1.0, float('nan')]), 'not a number'),
        (torch.zeros(2, dtype=torch.int8), 'holds torch.int8, the model has torch.float32'),
        (torch.zeros(2, dtype=torch.complex64), 'holds torch.complex64'),
        (torch.zeros(2).numpy(), None),  # PyTorch would leave it out, with a warning
        ('text', None),
        (torch.zeros(2).half(), ''),
    ],
)
def test_values_that_would_be_loaded_wrong(value, message):
    model = nn.Linear(2, 2)
    weights = model.state_dict() | dict(bias=value)
    if message:
        with pytest.raises(InputError, match='some.pth: bias .*' + message):
            compare_weights('some.pth', weights, model)
    else:
        misfit = compare_weights('some.pth', weights, model)
        assert misfit is None if message == '' else '1 missing (bias)' in misfit.what


def test_names_that_are_no_text():
    with pytest.raises(InputError, match='a weight is called 1, which is no text'):
        compare_weights('some.pth', {1: torch.zeros(1)}, nn.Linear(2, 2))
    assert 'none of the 6 weights' in error_of(dict(model=3), test='abc')


def test_files_of_parts_are_looked_at_before_a_training(tmp_path):
    torch.save(dict(state_dict=dict(other=torch.zeros(1))), tmp_path / 'other.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'other.pth'))
    for trains in (True, False):
        stand_in = runner(train=list('abc')) if trains else runner(test=list('abc'))
        stand_in.model.detector.backbone.init_cfg = init_cfg
        if trains:
            with pytest.raises(InputError, match=r'none of the 2 weights of model\.detector\.back'):
                CheckFitHook().before_run(stand_in)
        else:  # its weights come from the checkpoint that is tested
            CheckFitHook().before_run(stand_in)


def test_a_rate_for_no_parameter_is_told():
    run = runner(train='abc')
    keys = {'backbone': dict(lr_mult=0.1), 'bakbone': dict(lr_mult=0.1)}
    run.cfg = dict(optim_wrapper=dict(paramwise_cfg=dict(custom_keys=keys)))
    CheckFitHook().before_run(run)
    (line,) = run.logger.lines
    assert "no parameter of the model has 'bakbone' in its name" in line
