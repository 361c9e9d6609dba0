_base_ = ['./stage2.py', './regnet.py']

model = dict(detector=_base_.regnet)
