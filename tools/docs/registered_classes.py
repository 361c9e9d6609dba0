"""The classes that mmvis_cl registers, read from the source without importing it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r':(?:class|meth|func|mod|data|attr|exc|obj):`~?([^`]+)`')


@dataclass
class Argument:
    """One argument of a class, as its docstring and signature say.

    Attributes:
        name: The key in a config.
        default: Source text of the default; None if the key must be given.
        effect: From the docstring, on one line of Markdown; empty if it says nothing.
        listed: In the docstring although not in the signature (it goes on through ``**kwargs``).
    """

    name: str
    default: str | None
    effect: str
    listed: bool = False


@dataclass
class RegisteredClass:
    """A class that a config can name.

    Attributes:
        name: As in ``type='NAME'``.
        registry: As in ``@MODELS.register_module()``.
        path: Dotted, module and class.
        summary: First paragraph of the docstring, on one line.
        arguments: Of ``__init__``, without ``self``.
        extra: What the docstring says of ``**kwargs``; empty if there are none.
    """

    name: str
    registry: str
    path: str
    summary: str
    arguments: list[Argument] = field(default_factory=list)
    extra: str = ''


def plain_roles(text: str) -> str:
    """Sphinx roles as Markdown: :class:`X` -> `X`, ``x`` -> `x`."""
    return re.sub(r'``([^`]+)``', r'`\1`', ROLE.sub(r'`\1`', text))


def _one_line(text: str) -> str:
    return plain_roles(' '.join(text.split()))


def load_package() -> griffe.Module:
    """The source tree of mmvis_cl."""
    return griffe.load(
        'mmvis_cl',
        search_paths=[str(ROOT)],
        docstring_parser='google',
        docstring_options=dict(warnings=False),
        allow_inspection=False,
    )


def modules(package: griffe.Module) -> list[griffe.Module]:
    """All modules of the package, ordered by path, without packages' ``__init__``."""
    found, todo = [], [package]
    while todo:
        module = todo.pop()
        todo += [child for child in module.modules.values() if not child.is_alias]
        if not module.is_init_module:
            found.append(module)
    return sorted(found, key=lambda module: module.path)


def registered_classes(package: griffe.Module) -> list[RegisteredClass]:
    """All classes with ``@REGISTRY.register_module()``, ordered by registry and name."""
    found = []
    for module in modules(package):
        for cls in module.classes.values():
            if cls.is_alias:
                continue
            for decorator in cls.decorators:
                registry, _, rest = str(decorator.value).partition('.')
                if rest.startswith('register_module'):
                    found.append(_describe(cls, registry))
    return sorted(found, key=lambda cls: (cls.registry, cls.name))


def _describe(cls: griffe.Class, registry: str) -> RegisteredClass:
    sections = cls.docstring.parsed if cls.docstring else []
    text = next((s.value for s in sections if s.kind is griffe.DocstringSectionKind.text), '')
    told = {
        argument.name.lstrip('*'): _one_line(argument.description)
        for section in sections
        if section.kind is griffe.DocstringSectionKind.parameters
        for argument in section.value
    }
    described = RegisteredClass(
        name=cls.name,
        registry=registry,
        path=cls.path,
        summary=_one_line(text.split('\n\n')[0]),
    )
    parameters = list(cls.members['__init__'].parameters)[1:] if '__init__' in cls.members else []
    for parameter in parameters:
        effect = told.pop(parameter.name, '')
        if parameter.kind in (
            griffe.ParameterKind.var_keyword,
            griffe.ParameterKind.var_positional,
        ):
            described.extra = described.extra or effect
        else:
            default = None if parameter.default is None else str(parameter.default)
            described.arguments.append(Argument(parameter.name, default, effect))
    described.arguments += [Argument(name, '', text, listed=True) for name, text in told.items()]
    return described
