_base_ = ['./stage1.py', './regnet.py']

model = _base_.regnet
