"""The benchmark of training compares like with like, and counts memory right."""

import importlib
import logging
import re
from pathlib import Path

import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

TOOLS = Path(__file__).parents[2] / 'tools' / 'benchmarks'


@pytest.fixture(scope='module')
def training():
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(TOOLS))
    yield importlib.import_module('training')
    patch.undo()


@pytest.fixture(autouse=True)
def _logging():
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope='module')
def small(training):
    cfg = training.load_config(str(training.SMALL), None, None, 'none')
    batch = training.random_batch(2, (64, 70), num_classes=3, objects=3)
    # frames of a batch may differ in their number of objects
    frame = batch['data_samples'][0][0]
    frame.gt_instances = frame.gt_instances[:2]
    return cfg, training.make_model(cfg, 'cpu', per_object=3), batch


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


def test_batch(training):
    batch = training.random_batch(2, (48, 80), num_classes=3, objects=4)
    for frames, pair in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert frames.shape == (2, 3, 48, 80) and frames.dtype == torch.uint8
        for frame in pair:
            objects = frame.gt_instances
            assert len(objects) == 4 and objects.labels.max() < 3
            assert objects.masks.masks.any((1, 2)).all()
            assert torch.equal(objects.bboxes, objects.masks.get_bboxes(HorizontalBoxes).tensor)


def test_every_variant_has_the_same_losses_and_gradients(training, small):
    _, model, batch = small
    results = []
    for number in range(len(training.TRICKS) + 1):
        variant = training.straightforward(model, list(training.TRICKS)[:number])
        losses = training.forward(variant, batch, amp=False)
        sum(losses.values()).backward()
        results.append((losses, dict(variant.named_parameters())))
    ours = results[-1]
    assert (ours[0]['loss_embed'] > 0) and (ours[0]['loss_mask'] > 0)
    for losses, _ in results:
        for name, value in losses.items():
            assert value.item() == pytest.approx(ours[0][name].item(), rel=1e-5), name
    # The first has mmcv's attention: fresh offsets point exactly at pixels, where the two sides
    # have gradients of their own and rounding decides (test_deformable_attention compares others).
    for _, parameters in results[1:]:
        for name, parameter in parameters.items():
            expected = ours[1][name].grad
            assert (parameter.grad - expected).norm() <= 1e-3 * expected.norm() + 1e-6, name


def test_objects_take_as_many_queries_as_asked(training, small):
    _, model, batch = small
    head = training.straightforward(model, list(training.TRICKS)).detector.bbox_head
    states = model.detector.query_states(
        model.data_preprocessor(batch, True)['inputs'][:, 0],
        [pair[0] for pair in batch['data_samples']],
    )
    matches = head.match(states.logits, states.boxes, [p[0] for p in batch['data_samples']])
    for match, objects in zip(matches, (2, 3), strict=True):
        for layer in match.objects:  # less where two objects want the same query
            assert objects <= (layer >= 0).sum() <= 3 * objects
    assert max((match.objects >= 0).sum() for match in matches) > 2 * 3


def test_kept_bytes_are_those_of_the_graph(training):
    """exp keeps its result, a product of two keeps both."""
    model = torch.nn.Linear(4, 4)
    x = torch.ones(25, requires_grad=True)
    live = importlib.import_module('training_memory').LiveBytes(model)
    with live.hooks:
        y = (x.exp() * x).sum()
    assert live.now == live.most == 2 * 25 * 4  # the result of exp is kept twice, counted once
    y.backward()
    assert (live.now, live.most) == (0, 200)
    with live.hooks:
        model(torch.ones(3, 4)).sum()
    assert live.most == 200  # weights do not count


def test_tables(training, capsys):
    arguments = ['--size', '64', '64', '--pairs', '1', '--repeat', '1', '--objects', '2']
    training.main([*arguments, '--no-memory', '--no-growth'])
    rows = cells(capsys.readouterr().out)
    tricks = rows[2 : 3 + len(training.TRICKS)]
    assert [row[0] for row in tricks] == ['straightforward', *training.TRICKS.values()]
    assert all(float(row[-1]) <= 1e-5 for row in tricks)
    parts = {row[0]: float(row[3]) for row in rows[len(tricks) + 4 :]}
    assert parts['backward'] > 0 and parts['contrastive losses'] > 0
    assert sum(parts.values()) - parts['all'] == pytest.approx(parts['all'], abs=0.02)

    training.main([*arguments, '--config', str(training.SMALL)])
    name, _, wall, _, peak, before = cells(capsys.readouterr().out)[2]
    assert name == 'small_moving-shapes' and float(peak) >= float(before) > 0 < float(wall)

    training.main(['--size', '96', '192', '--pairs', '3', '--estimate'])
    gib = {row[0]: row[1] for row in cells(capsys.readouterr().out)}
    assert float(gib['all']) > float(gib['kept for the backward pass, 3 pairs']) > 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--pairs', '0'], 'error: --pairs'),
        (['--per-object', '11'], 'error: --per-object: between 1 and 10'),
        (['--config', 'no.py'], 'error: no.py: there is no such config'),
        (['--config', str(TOOLS.parents[1] / 'configs/vis_cl/r50_coco.py')], 'error: .*no pairs'),
    ],
)
def test_bad_input_is_one_clear_line(training, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        training.main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and re.match(message, error)
