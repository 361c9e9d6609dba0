"""A training that is over in seconds, for tests of what happens when it is stopped or killed."""

import os
import random
import time

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from mmvis_cl.datasets.seeded_sampler import seed_sample
from mmvis_cl.registry import DATASETS, HOOKS, MODELS


@DATASETS.register_module()
class TinyData(torch.utils.data.Dataset):
    """Noise, drawn with all three generators.

    Args:
        width: Values in a sample; what workers hand over is too large for a pipe if this is.
    """

    def __init__(self, width=64):
        self.width = width

    def __len__(self):
        return 6

    def __getitem__(self, index):
        seed_sample(index)
        noise = random.random() + np.random.rand() + torch.rand(self.width)
        return dict(x=noise + index, y=torch.tensor([float(index % 2)]))


@MODELS.register_module()
class TinyModel(BaseModel):
    """Draws random numbers of its own, as dropout and sampled negatives do.

    Args:
        width: Values in a sample.
        hidden: Of the inner layer: what a checkpoint's size and its time to write depend on.
    """

    def __init__(self, width=64, hidden=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.Dropout(0.5), nn.Linear(hidden, 1))

    def init_weights(self):
        torch.manual_seed(0)
        for layer in (self.net[0], self.net[2]):
            layer.reset_parameters()

    def forward(self, x, y, mode='tensor'):
        out = self.net(x) * (1 + np.random.rand()) * (1 + random.random())
        loss = (out - y).square()
        return dict(loss=loss.mean()) if mode == 'loss' else list(loss)


@HOOKS.register_module()
class Report(Hook):
    """Says on stdout where the training starts and which iterations are done, and takes its time.

    Args:
        seconds: That an iteration takes at least.
    """

    priority = 'LOWEST'

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0 or not getattr(self, 'started', False):
            self.started = True
            os.write(1, f'REPORT starts after {runner.iter}\n'.encode())
        time.sleep(self.seconds)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        os.write(1, f'REPORT done {runner.iter + 1}\n'.encode())
