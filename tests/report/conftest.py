import pytest
from report_data import write_data


@pytest.fixture
def data(tmp_path):
    """A folder with gt.json, good.json, bad.json and images."""
    return write_data(tmp_path)
