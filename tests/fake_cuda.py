"""A stand-in for CUDA's streams and events, which notes in what order they were used."""

import contextlib

import torch


class FakeCuda:
    """Streams do their work at once, in the order of its launch.

    Attributes:
        used (list): what happened: ('wait', stream, other), ('record', stream), ('synchronize',).
    """

    def __init__(self, monkeypatch) -> None:
        self.used = []
        self.main = self.current = Stream(self)
        fakes = dict(
            Stream=lambda device=None: Stream(self),
            current_stream=lambda device=None: self.current,
            stream=self._within,
        )
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    @contextlib.contextmanager
    def _within(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before


class Stream:
    def __init__(self, cuda) -> None:
        self.cuda = cuda

    def wait_stream(self, other):
        self.cuda.used.append(('wait', self, other))

    def record_event(self):
        self.cuda.used.append(('record', self))
        return self

    def synchronize(self):
        self.cuda.used.append(('synchronize',))
