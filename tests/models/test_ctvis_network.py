"""Raw outputs of the network equal those of CTVIS's release, measured with the same weights."""

import numpy as np
import pytest
import torch
from release_fixtures import build, load, video_batch


@pytest.fixture(scope='module')
def fixture():
    return load('ctvis_r50_small')


@pytest.fixture(scope='module')
def model(fixture):
    return build('ctvis_r50_small', fixture)


@pytest.mark.parametrize('name', ['pred_logits', 'pred_masks', 'pred_embeds'])
def test_raw_outputs(fixture, model, name):
    with torch.no_grad():
        outputs = model(**model.data_preprocessor(video_batch(fixture)), mode='tensor')
    expected = fixture[name]
    np.testing.assert_allclose(
        outputs[name].numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )
