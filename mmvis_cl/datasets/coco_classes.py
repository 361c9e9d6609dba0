"""Which of COCO's 80 classes are a class of YouTube-VIS or OVIS.

A class of COCO goes to the class of the same thing, whatever it is called there; one without a
counterpart is left out. Some names deceive: COCO's mouse lies beside a keyboard, that of
YouTube-VIS is an animal. A bicycle is no motorbike, and skis are no snowboard. YouTube-VIS 2019 has
parrots, ducks, owls and eagles but no birds, so COCO's birds cannot be told apart there; 2021 has
'bird' for them. A bus is neither a car nor a truck, but in OVIS all three are vehicles.
"""

_ANIMALS = {name: name for name in ('bear', 'cat', 'cow', 'dog', 'elephant', 'giraffe', 'horse')}
_YOUTUBE_VIS = {
    **_ANIMALS,
    'zebra': 'zebra',
    'person': 'person',
    'airplane': 'airplane',
    'boat': 'boat',
    'train': 'train',
    'truck': 'truck',
    'motorcycle': 'motorbike',
    'skateboard': 'skateboard',
    'snowboard': 'snowboard',
    'surfboard': 'surfboard',
    'tennis racket': 'tennis_racket',
}
_YOUTUBE_VIS_2021 = {**_YOUTUBE_VIS, 'car': 'car', 'bird': 'bird', 'frisbee': 'flying_disc'}

COCO_TO_VIS = {
    '2019': {**_YOUTUBE_VIS, 'car': 'sedan'},
    '2021': _YOUTUBE_VIS_2021,
    '2022': _YOUTUBE_VIS_2021,
    'ovis': {
        **{name: name.capitalize() for name in (*_ANIMALS, 'zebra', 'sheep', 'bird', 'person')},
        'airplane': 'Airplane',
        'bicycle': 'Bicycle',
        'boat': 'Boat',
        'motorcycle': 'Motorcycle',
        'car': 'Vehical',
        'bus': 'Vehical',
        'truck': 'Vehical',
    },
}

# As CTVIS's release has it: bicycles and skis count, for OVIS no birds.
_CTVIS = dict(bicycle='motorbike', skis='snowboard')
CTVIS_COCO_TO_VIS = {
    **{year: {**COCO_TO_VIS[year], **_CTVIS} for year in ('2019', '2021', '2022')},
    'ovis': {name: to for name, to in COCO_TO_VIS['ovis'].items() if name != 'bird'},
}
