import pytest

from mmvis_cl.datasets.class_lists import CLASS_LISTS, as_spelled_in_file, class_list
from mmvis_cl.errors import InputError


def test_sizes_and_order():
    sizes = {name: len(class_list(name)) for name in CLASS_LISTS}
    assert sizes == {'2019': 40, '2021': 40, '2022': 40, 'ovis': 25}
    for name in CLASS_LISTS:
        assert len(set(class_list(name))) == sizes[name]
    assert class_list('2022') == class_list('2021') != class_list('2019')
    # The first and last category ids of the official files.
    assert class_list('2019')[0] == 'person' and class_list('2019')[-1] == 'tennis_racket'
    assert class_list('2021')[0] == 'airplane' and class_list('2021')[-1] == 'zebra'
    assert class_list('ovis')[:2] == ('Person', 'Bird')
    assert class_list('ovis')[11:13] == ('Poultry', 'Giant_panda')
    # Asking for one does not change another.
    assert class_list('2019')[5] == 'sedan'


def test_unknown_list():
    with pytest.raises(
        InputError, match=r"classes='2020' is not known; give one of '2019', .*ovis"
    ):
        class_list('2020')


def test_spelling_of_the_file():
    classes = ('Person', 'Giant_panda', 'Vehical')
    assert as_spelled_in_file(classes, ['Vehicle', 'Person', 'Giant_panda']) == (
        'Person',
        'Giant_panda',
        'Vehicle',
    )
    assert as_spelled_in_file(classes, ['person', 'Giant Panda']) == (
        'person',
        'Giant Panda',
        'Vehical',
    )
    assert as_spelled_in_file(('Vehical',), ['Vehicle', 'Vehical']) == ('Vehical',)
