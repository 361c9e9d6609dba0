_base_ = ['./stage3_600.py', './regnet.py']

model = dict(detector=_base_.regnet)
