"""The engine of a cluster, without one; tests/faults/test_many_videos.py has one."""

import sys

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.many.job import Job
from mmvis_cl.many.ray_engine import RayEngine


@pytest.fixture
def job(tmp_path):
    return Job(str(tmp_path), None, 'weights', {})


def test_without_ray_it_is_said_how_to_get_it(job, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(InputError, match=r"Ray is not installed; run pip install 'mmvis_cl\[ray"):
        RayEngine(job)


@pytest.mark.ray
def test_a_lost_node_is_told_from_a_worker_that_died(job):
    errors = pytest.importorskip('ray', reason="pip install 'mmvis_cl[ray]'").exceptions
    engine = RayEngine(job)
    died = errors.ActorDiedError()
    assert not engine._lost_node(died)
    died.error_msg += '\nThe actor died because its node has died. Node Id: 0'
    assert engine._lost_node(died)
    assert engine._lost_node(errors.ActorUnavailableError('socket closed', None))
    assert not engine._lost_node(errors.OutOfMemoryError('prevents node deaths'))
