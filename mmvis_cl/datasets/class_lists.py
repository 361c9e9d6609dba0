"""The class lists of the official data sets, in the order of their category ids."""

from collections.abc import Sequence

from mmdet.datasets import YouTubeVISDataset

from mmvis_cl.errors import InputError

CLASS_LISTS = ('2019', '2021', '2022', 'ovis')

_OVIS = (
    'Person',
    'Bird',
    'Cat',
    'Dog',
    'Horse',
    'Sheep',
    'Cow',
    'Elephant',
    'Bear',
    'Zebra',
    'Giraffe',
    'Poultry',
    'Giant_panda',
    'Lizard',
    'Parrot',
    'Monkey',
    'Rabbit',
    'Tiger',
    'Fish',
    'Turtle',
    'Bicycle',
    'Motorcycle',
    'Airplane',
    'Boat',
    'Vehical',
)


class _YouTubeVISLists(YouTubeVISDataset):
    """mmdet's class lists. It stores them on the class, so this one is kept apart."""


def class_list(name: str) -> tuple[str, ...]:
    """The class names of an official data set.

    Args:
        name: '2019', '2021' or '2022' for YouTube-VIS (40 names each; 2022's list is 2021's),
            'ovis' for OVIS (25 names).

    Returns:
        The names; a label is a position in it, and the category id of the official files is
        label + 1.

    Raises:
        InputError: If there is no list of this name.
    """
    if name not in CLASS_LISTS:
        raise InputError(
            f"classes='{name}' is not known; give one of {', '.join(map(repr, CLASS_LISTS))}, a "
            'sequence of class names, or None for those of the annotation file'
        )
    if name == 'ovis':
        return _OVIS
    _YouTubeVISLists.set_dataset_classes('2021' if name == '2022' else name)
    return _YouTubeVISLists.METAINFO['classes']


def as_spelled_in_file(classes: Sequence[str], file_names: Sequence[str]) -> tuple[str, ...]:
    """Official class names the way that an annotation file writes them.

    Copies of the official files differ in upper case, in spaces for underscores, and in OVIS's last
    name, which is 'Vehical' in some and 'Vehicle' in others.

    Args:
        classes: From :func:`class_list`.
        file_names: The names of the file's categories.

    Returns:
        For each class the file's name, or its own if the file has no such class.
    """

    def plain(name: str) -> str:
        return name.casefold().replace(' ', '_').replace('vehical', 'vehicle')

    written = {plain(name): name for name in file_names}
    return tuple(name if name in file_names else written.get(plain(name), name) for name in classes)
