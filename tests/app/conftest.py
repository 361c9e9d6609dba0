import pytest
from small_tracker import write_model


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Paths of a config and of its random weights."""
    config, weights = write_model(tmp_path_factory.mktemp('tiny'))
    return str(config), str(weights)
