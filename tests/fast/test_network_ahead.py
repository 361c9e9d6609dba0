"""The network is one item ahead of who uses its states, and never more."""

import pytest
import torch
from fake_cuda import FakeCuda

from mmvis_cl.fast import network_ahead as module
from mmvis_cl.fast.network_ahead import decided_on_cpu, network_ahead
from mmvis_cl.models.detectors.deformable_detr import QueryStates

GPU = torch.device('cuda')


@pytest.fixture
def cuda(monkeypatch):
    module._network_stream.cache_clear()
    yield FakeCuda(monkeypatch)
    module._network_stream.cache_clear()


def test_the_next_item_is_launched_before_one_is_given(cuda):
    events = []

    def items():
        for item in 'abc':
            events.append(('made', item, cuda.current is cuda.main))
            yield item

    def run(item):
        events.append(('run', item, cuda.current is cuda.main))
        return item.upper()

    for item, states in network_ahead(items(), run, GPU):
        events.append(('given', item, states))
    assert events == [
        ('made', 'a', False),
        ('run', 'a', False),
        ('made', 'b', False),
        ('run', 'b', False),
        ('given', 'a', 'A'),
        ('made', 'c', False),
        ('run', 'c', False),
        ('given', 'b', 'B'),
        ('given', 'c', 'C'),
    ]


def test_what_is_given_is_ready_and_memory_is_handed_over(cuda):
    """An item's event is waited for before it is given, and each launch waits for its user."""
    for _ in network_ahead(range(3), lambda item: item, GPU):
        cuda.used.append(('used',))
    kinds = [event[0] for event in cuda.used]
    assert kinds == (
        ['wait', 'record']
        + ['wait', 'record', 'synchronize', 'used'] * 2
        + ['wait', 'synchronize', 'used']
    )
    assert all(event[2] is cuda.main for event in cuda.used if event[0] == 'wait')
    assert len({event[1] for event in cuda.used if event[0] == 'record'}) == 1


def test_on_a_cpu_an_item_is_run_when_it_is_asked_for():
    run = []
    given = network_ahead(iter('ab'), lambda item: run.append(item) or item, torch.device('cpu'))
    assert next(given) == ('a', 'a') and run == ['a']
    assert list(given) == [('b', 'b')]


@pytest.mark.parametrize('where', ['item', 'run'])
def test_an_error_comes_after_what_was_done(cuda, where):
    def items():
        yield 0
        yield 1
        if where == 'item':
            raise ValueError('the file ends')
        yield 2

    def run(item):
        if item == 2:
            raise ValueError('no memory')
        return -item

    given = []
    with pytest.raises(ValueError, match='the file ends' if where == 'item' else 'no memory'):
        for item, _ in network_ahead(items(), run, GPU):
            given.append(item)
    assert given == [0, 1]


def test_nothing_in_nothing_out(cuda):
    assert list(network_ahead([], lambda item: item, GPU)) == []


def test_decisions_lie_on_the_cpu():
    states = QueryStates(*torch.rand(4, 1, 1, 5, 4), maps=[torch.rand(2)])
    moved = decided_on_cpu(states)
    assert torch.equal(moved.logits, states.logits) and moved.states is states.states


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_results_are_those_of_one_after_the_other():
    weight = torch.randn(512, 512, device='cuda')

    def items():
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            yield (
                torch.randn(512, 512, generator=generator)
                .pin_memory()
                .to('cuda', non_blocking=True)
            )

    def run(item):
        for _ in range(20):
            item = (item @ weight).tanh()
        return item

    expected = [run(item).cpu() for item in items()]
    ahead = network_ahead(items(), run, torch.device('cuda', 0))
    for (_, states), wanted in zip(ahead, expected, strict=True):
        assert torch.equal(states.cpu(), wanted)
