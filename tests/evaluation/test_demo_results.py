"""What the demo's network found in the held-out moving shapes (tests/data/demo_results.zip).

Tracking is worth more than half of the score: with the same detections and identities handed out at
random, less than half of it is left.
"""

import json
from pathlib import Path

import pytest

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.evaluation import evaluate_tracks, load_results, shuffle_identities

RESULTS = Path(__file__).parents[1] / 'data' / 'demo_results.zip'


@pytest.fixture(scope='module')
def annotations(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, train_videos=1)
    return json.loads((root / 'valid.json').read_text())


@pytest.fixture(scope='module')
def results():
    return load_results(RESULTS)


def test_demo_reaches_its_score(results, annotations):
    assert evaluate_tracks(results, annotations)['AP'] >= 0.40


@pytest.mark.parametrize('seed', range(3))
def test_shuffled_identities_lose_more_than_half(results, annotations, seed):
    score = evaluate_tracks(results, annotations)['AP']
    shuffled = evaluate_tracks(shuffle_identities(results, seed), annotations)['AP']
    assert shuffled < score / 2
