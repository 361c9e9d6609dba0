import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmvis_cl.errors import InputError
from mmvis_cl.visualization.plots import COLOURS, HATCHES, MARKERS, grouped_bars, plot_style
from mmvis_cl.visualization.plots import save_figure as save


def bars():
    figure = Figure(figsize=(3, 2))
    axis = figure.subplots()
    grouped_bars(axis, ['a', 'b', 'c'], {'AP50': [0.5, 0, -1], 'AP': [0.25, 0.1, 0.2]})
    return figure, axis


def test_bars_have_their_values_and_differ_without_colour():
    with plot_style():
        _, axis = bars()
    widths = [[bar.get_width() for bar in group] for group in axis.containers]
    assert widths == [[0.5, 0, 0], [0.25, 0.1, 0.2]]
    assert [text.get_text() for text in axis.texts] == [
        '0.500', '0.000', '-', '0.250', '0.100', '0.200',
    ]  # fmt: skip
    assert len({group[0].get_hatch() for group in axis.containers}) == 2
    top, bottom = (group[0].get_y() for group in axis.containers)
    assert axis.yaxis_inverted() and top < bottom
    assert len(set(COLOURS)) == len(set(HATCHES)) == len(set(MARKERS)) == len(COLOURS)


def test_png_and_svg(tmp_path):
    with plot_style():
        figure, _ = bars()
        assert save(figure, tmp_path / 'new' / 'plot') == [
            tmp_path / 'new/plot.png',
            tmp_path / 'new/plot.svg',
        ]
        first = (tmp_path / 'new/plot.svg').read_bytes()
        assert save(figure, tmp_path / 'plot.pdf') == [tmp_path / 'plot.pdf']
        figure, _ = bars()
        save(figure, tmp_path / 'again')
    assert (tmp_path / 'again.svg').read_bytes() == first
    with Image.open(tmp_path / 'again.png') as image:
        assert image.size == (600, 400)
        assert len(np.unique(np.asarray(image.convert('RGB')).reshape(-1, 3), axis=0)) > 10


def test_bad_paths(tmp_path):
    figure, _ = bars()
    with pytest.raises(InputError, match=r'plot\.bmp: a plot is written to a name that ends in'):
        save(figure, tmp_path / 'plot.bmp')
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        save(figure, tmp_path / 'file' / 'plot.png')
