"""Ids in somebody's data: of videos, and of the categories that are the classes of a model."""

from collections.abc import Sequence

from mmvis_cl.errors import InputError, quoted


def parse_category_ids(given: Sequence[str]) -> list[tuple[str | None, int]]:
    """Read ``NAME=ID ...`` or ``ID ...``.

    Raises:
        InputError: An id is no whole number, or one is there twice.
    """
    pairs = []
    for text in given:
        name, equals, number = text.rpartition('=')
        if not (number.isascii() and number.isdecimal()):
            raise InputError(
                f'--category-ids {quoted(text)}: is no id; give a whole number, or NAME=NUMBER'
            )
        pairs.append((name if equals else None, int(number)))
    ids = [number for _, number in pairs]
    if len(set(ids)) < len(ids):
        raise InputError(f'--category-ids: {ids} has an id twice; give each class its own')
    if len({name is None for name, _ in pairs}) > 1:
        raise InputError('--category-ids: both NAME=ID and ids alone; give one of the two')
    return pairs


def ids_of_classes(
    classes: Sequence[str], given: Sequence[str] | None, annotations: str | None
) -> list[int | str]:
    """The category id of each class of a model.

    Args:
        classes: Of the model.
        given: ``--category-ids``, if any.
        annotations: A YouTube-VIS or COCO file with categories of the same names, if any.

    Returns:
        An id for each class; 1, 2, ... if neither is given.

    Raises:
        InputError: A class has no id.
    """
    if annotations is not None:
        from mmvis_cl.datasets.annotation_file import check_categories
        from mmvis_cl.json_file import read_json

        content = read_json(annotations)
        categories = content.get('categories') if isinstance(content, dict) else None
        if not isinstance(categories, list):
            raise InputError(f'{annotations}: has no list categories; give an annotation file')
        of_name = {name: i for i, name in check_categories(categories, annotations).items()}
        where = f'{annotations}: its categories'
    elif given:
        pairs = parse_category_ids(given)
        if pairs[0][0] is None:
            if len(pairs) != len(classes):
                raise InputError(
                    f'--category-ids: {len(pairs)} ids for {len(classes)} classes '
                    f'({", ".join(classes[:3])}, ...); give one for each, in this order'
                )
            return [number for _, number in pairs]
        of_name = {name: number for name, number in pairs if name is not None}
        where = '--category-ids'
    else:
        return list(range(1, len(classes) + 1))
    missing = [name for name in classes if name not in of_name]
    if missing:
        raise InputError(
            f'{where} lack the class {quoted(missing[0])} of the model; its classes are '
            f'{", ".join(classes[:8])}{", ..." * (len(classes) > 8)}: give an id for each'
        )
    return [of_name[name] for name in classes]


def number_or_text(text: str) -> int | str:
    """An id in result files: a number where the text is one as Python writes it."""
    is_number = text.isascii() and text.isdecimal() and text == str(int(text[:18]))
    return int(text) if is_number else text
