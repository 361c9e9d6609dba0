"""The registries of mmvis_cl: each is a child of mmdet's of the same name, in scope ``mmvis_cl``.

Three things follow from how mmengine looks a type up:

- A name without scope is searched here and then in mmdet's and mmengine's registries, but only this
  registry's locations are imported for that, so they begin with those of its parent.
- ``mmvis_cl.X`` asked of another library's registry (mmpose's, say) is searched among the children
  of mmengine's root registry only, so every registry is listed there as well.
- ``mmvis_cl.X`` makes mmengine import ``mmvis_cl.registry``, so configs need no ``custom_imports``.
"""

from mmdet import registry as mmdet_registry
from mmengine.registry import Registry


def _child(name: str, location: str) -> Registry:
    parent = getattr(mmdet_registry, name)
    child = Registry(
        parent.name, parent=parent, scope='mmvis_cl', locations=[*parent._locations, location]
    )
    child._get_root_registry()._add_child(child)
    return child


RUNNERS = _child('RUNNERS', 'mmvis_cl.engine')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS', 'mmvis_cl.engine')
LOOPS = _child('LOOPS', 'mmvis_cl.engine')
HOOKS = _child('HOOKS', 'mmvis_cl.engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'mmvis_cl.engine')
OPTIMIZERS = _child('OPTIMIZERS', 'mmvis_cl.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmvis_cl.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'mmvis_cl.engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'mmvis_cl.engine')

DATASETS = _child('DATASETS', 'mmvis_cl.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmvis_cl.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmvis_cl.datasets')

MODELS = _child('MODELS', 'mmvis_cl.models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'mmvis_cl.models')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'mmvis_cl.models')
TASK_UTILS = _child('TASK_UTILS', 'mmvis_cl.models')

METRICS = _child('METRICS', 'mmvis_cl.evaluation')
EVALUATOR = _child('EVALUATOR', 'mmvis_cl.evaluation')

VISUALIZERS = _child('VISUALIZERS', 'mmvis_cl.visualization')
VISBACKENDS = _child('VISBACKENDS', 'mmvis_cl.visualization')
