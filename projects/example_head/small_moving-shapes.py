# The network of `make demo` with the head of this folder. Run it from the root of the repository
# with PYTHONPATH=. so that the module can be imported.
_base_ = '../../configs/vis_cl/small_moving-shapes.py'

custom_imports = dict(imports=['projects.example_head.unit_length_head'])
model = dict(embed_head=dict(type='UnitLengthHead', scale=16.0))
