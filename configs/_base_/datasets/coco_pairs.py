# Pseudo pairs of COCO 2017, 80 classes. There are no videos to validate on.
_base_ = ['./coco_pair_set.py', './train_loader.py']

train_dataloader = dict(dataset=_base_.coco_pair_set)
