"""Recorded runs of the network, with a stand-in for CUDA graphs on the CPU.

It records the operations that PyTorch dispatches and repeats them on the same tensors, as a GPU
does: what Python computed from one frame, or waited for, is wrong or refused with another one.
"""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch
from release_fixtures import frame_sample
from small_model import small_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmvis_cl.errors import InputError
from mmvis_cl.fast import cuda_graph
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models import MaskDeformableDETR
from mmvis_cl.ops.gathered_sampling import padded_levels

# They need a value of the device.
WAITING = {'_local_scalar_dense', 'nonzero', 'is_nonzero', 'item', 'equal', '_unique2'}


def storages(values):
    leaves = tree_leaves(values)
    leaves += [p for m in leaves if isinstance(m, torch.nn.Module) for p in m.parameters()]
    return {t.untyped_storage().data_ptr() for t in leaves if torch.is_tensor(t)}


class Recorder(TorchDispatchMode):
    def __init__(self, graph):
        super().__init__()
        self.operations = graph.operations

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name.split('::')[1]
        assert name not in WAITING, f'{name} waits for the device'
        made = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, made))
        return made


class Graph:
    def __init__(self):
        self.operations, self.replays = [], 0

    def replay(self):
        self.replays += 1
        with torch.no_grad():
            for operation, args, kwargs, made in self.operations:
                again = operation(*args, **kwargs)
                places = storages((args, kwargs))
                for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                    if (
                        torch.is_tensor(old) and not storages(old) & places
                    ):  # neither view nor in place
                        old.copy_(new)


@pytest.fixture
def graphs(monkeypatch):
    made = []

    def new_graph():
        made.append(Graph())
        return made[-1]

    stream = SimpleNamespace(
        wait_stream=lambda other: None, wait_event=lambda event: None, record_event=object
    )
    fakes = dict(
        CUDAGraph=new_graph,
        graph=Recorder,
        Stream=lambda: stream,
        current_stream=lambda device=None: stream,
        stream=lambda s: contextlib.nullcontext(),
        device=lambda d: contextlib.nullcontext(),
    )
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr('mmvis_cl.fast.fast_vis.can_record', lambda *args: True)
    # what only CPUs do: a kernel in C is not dispatched, and rows are looked for
    monkeypatch.setattr('mmvis_cl.ops.deformable_sums.sampling_kernel', lambda *args: None)
    monkeypatch.setattr(
        'mmvis_cl.models.layers.deformable_attention.clear_rows',
        lambda value, mask: value.masked_fill_(mask[..., None], 0),
    )
    return made


def build(**test_cfg):
    model = small_model(lambda cfg: cfg.test_cfg.update(test_cfg))
    prepare_for_inference(model, fuse_bn=False, convs_channels_last=False, packed_linear=False)
    return model.eval()


def batch(seed, size=(64, 96), frames=1, shape=(60, 90)):
    images = torch.randn(frames, 3, *size, generator=torch.Generator().manual_seed(seed))
    return images, [frame_sample(shape) for _ in images]


def assert_same(found, expected):
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize('autocast', [None, 'bfloat16'])
def test_replays_give_what_runs_give(graphs, autocast):
    model = build(cuda_graph=True, autocast=autocast)
    plain = copy.deepcopy(model)
    plain.test_cfg = dict(plain.test_cfg, cuda_graph=False)
    for seed in range(4):
        assert_same(model.query_states(*batch(seed)), plain.query_states(*batch(seed)))
    (graph,) = graphs  # of the second run
    assert graph.replays == 3 and len(graph.operations) > 200


def test_states_outlive_the_next_replay(graphs):
    model = build(cuda_graph=True)
    model.query_states(*batch(0))
    first, second = model.query_states(*batch(1)), model.query_states(*batch(2))
    assert_same(first, model.query_states(*batch(1)))
    assert not torch.equal(first.states, second.states)


def test_other_runs_are_recorded_anew(graphs):
    model = build(cuda_graph=True)
    inputs = batch(0), batch(0, frames=2), batch(0, size=(96, 64)), batch(0, shape=(64, 96))
    for _ in range(3):
        for given in inputs:
            model.query_states(*given)
    assert [graph.replays for graph in graphs] == [2] * 4
    torch.nn.init.normal_(model.detector.level_embed)
    plain = copy.deepcopy(model)
    plain.test_cfg = dict(plain.test_cfg, cuda_graph=False)
    for _ in range(2):
        assert_same(model.query_states(*inputs[0]), plain.query_states(*inputs[0]))
    assert len(graphs) == 4  # a graph reads the weights as they are


def test_weights_in_another_place_are_recorded_anew(graphs):
    model = build(cuda_graph=True)
    plain = copy.deepcopy(model)
    plain.test_cfg = dict(plain.test_cfg, cuda_graph=False)
    for _ in range(2):
        model.start_video(1, 1, (60, 90))
        model.query_states(*batch(0))
    weights = {name: value * 1.01 for name, value in model.state_dict().items()}
    plain.load_state_dict(weights)
    model.load_state_dict(weights, assign=True)
    for _ in range(2):
        model.start_video(2, 1, (60, 90))
        assert_same(model.query_states(*batch(0)), plain.query_states(*batch(0)))
    assert len(graphs) == 2


def test_inference_mode_now_and_then(graphs, monkeypatch):
    # nothing need be recorded here, and in inference mode torch 2.4 cannot
    monkeypatch.setattr(torch.cuda, 'graph', lambda graph: contextlib.nullcontext())
    model = build(cuda_graph=True)
    for mode in (torch.inference_mode, torch.no_grad) * 3:
        with mode():
            states = model.query_states(*batch(0))
        if mode is torch.no_grad:
            states.logits.add_(1)  # not of inference mode
    assert len(graphs) == 2


def test_what_a_run_reads_is_kept_with_it(graphs):
    """The geometry of the first sizes is thrown away for that of later ones."""
    model = build(cuda_graph=True)
    plain = copy.deepcopy(model)
    plain.test_cfg = dict(plain.test_cfg, cuda_graph=False)
    for _ in range(2):
        model.query_states(*batch(0))
    for width in range(32, 32 * 6, 32):
        model.query_states(*batch(0, size=(32, width), shape=(32, width)))
    places = [t for t in tree_leaves(graphs[0].operations) if torch.is_tensor(t)]
    (replay,) = model._graphs._replays.values()
    (kept,) = replay.__defaults__
    inside = storages([made for *_, made in graphs[0].operations])
    weights = storages([*model.parameters(), *model.buffers()])
    frames = storages(graphs[0].operations[0][1])
    levels = padded_levels(((8, 12), (4, 6), (2, 3)), torch.device('cpu'))
    assert storages(places) - inside - weights - frames <= storages((kept, levels))
    assert_same(model.query_states(*batch(7)), plain.query_states(*batch(7)))


def test_only_the_last_ones_are_kept(graphs):
    model = build(cuda_graph=True)
    sizes = [(32, 32 * i) for i in range(1, cuda_graph.GRAPHS_KEPT + 3)]
    for _ in range(2):
        for size in sizes:
            model.query_states(*batch(0, size=size, shape=size))
    assert len(graphs) == len(sizes)
    assert len(model._graphs._replays) == cuda_graph.GRAPHS_KEPT


def test_what_is_remembered_is_bounded(graphs):
    """Videos of ever new sizes, none of them twice."""
    runs = cuda_graph.GraphedRuns()
    for kind in range(100):
        runs(kind, lambda x: [x], torch.ones(1), list)
    assert not graphs and len(runs._seen) == cuda_graph.KINDS_REMEMBERED


def test_a_network_that_waits_for_the_device_is_refused(graphs):
    class Waiting(torch.nn.Module):
        def forward(self, x):
            return x * x.sum().item()

    waiting = Waiting()
    with pytest.raises(AssertionError, match='waits for the device'):
        cuda_graph.record(lambda x: [waiting(x)], torch.ones(3), list)


def test_other_models_are_refused():
    class OtherDetector(MaskDeformableDETR):
        """Nobody knows what else its passes do."""

    model = build(cuda_graph=True)
    model.detector.__class__ = OtherDetector
    with pytest.raises(InputError, match=r'test_cfg\.cuda_graph: a OtherDetector cannot'):
        prepare_for_inference(model)


def test_a_model_with_graphs_can_be_copied(graphs):
    model = build(cuda_graph=True)
    for _ in range(2):
        states = model.query_states(*batch(0))
    assert_same(copy.deepcopy(model).query_states(*batch(0)), states)
