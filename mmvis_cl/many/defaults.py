"""What needs no library to be known: the commands look at it before they import one."""

# What each kind of output is called in the folder of a video.
OUTPUTS = {
    'json': 'results.json',
    'coco': 'coco.json',
    'video': 'tracked.mp4',
    'masks': 'masks',
    'csv': 'tracks.csv',
    'mots': 'mots.txt',
    'cvat': 'cvat.zip',
    'label-studio': 'label_studio.json',
    'fiftyone': 'fiftyone',
}
SHOWN_SCORE = 0.3  # of what is drawn and listed frame by frame, where no other is asked for
