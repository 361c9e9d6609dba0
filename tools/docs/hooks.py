"""Hooks of mkdocs: pages that are made from the source whenever the documentation is built.

- reference/config.md, by config_reference.py;
- reference/<package>.md, a mkdocstrings entry for each module, new ones included;
- contributing.md and changelog.md, which lie at the top of the repository;
- `<!-- messages: FOLDER ... -->` in a page becomes the table of the error messages raised there;
- `<!-- options: COMMAND -->` becomes the table of the options of `mmvis-cl COMMAND`;
- `<!-- picture: NAME -->` becomes a picture of method_picture.py;
- `<!-- rooms -->` and `<!-- way -->` become the tables of rooms.py.
"""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))  # for mmvis_cl_command
sys.path.insert(0, str(Path(__file__).parent))
from config_reference import config_page
from error_messages import message_table
from method_picture import PICTURES
from option_table import option_table
from registered_classes import ROOT, load_package, modules, plain_roles
from rooms import rooms_table, way_table

import mmvis_cl_command

# Page: title and the packages on it.
API_PAGES = {
    'apis': ('Inference', ['apis', 'app', 'config_names', 'cli']),
    'many': ('Many videos', ['many']),
    'export': ('Export', ['export']),
    'models': ('Models', ['models']),
    'fast': ('Speed', ['fast', 'ops']),
    'checkpoints': ('Checkpoints', ['checkpoints', 'weights']),
    'datasets': ('Data', ['datasets']),
    'structures': ('Structures', ['structures']),
    'evaluation': ('Evaluation', ['evaluation', 'report']),
    'engine': ('Engine', ['engine', 'config']),
    'outputs': ('Outputs and drawing', ['outputs', 'visualization']),
}
# What most readers of a page come for stands before the rest, which goes by the alphabet.
FIRST = ('mmvis_cl.apis.inferencer',)


def api_pages() -> dict[str, str]:
    """Name of the page -> Markdown.

    Raises:
        PluginError: If a package of mmvis_cl is on no page.
    """
    pages = {}
    rest = modules(load_package())
    for page, (title, packages) in API_PAGES.items():
        listed = [module for module in rest if module.path.split('.')[1] in packages]
        if page == 'engine':  # and what is a file of its own, as registry.py
            listed += [m for m in rest if m.path.count('.') == 1 and m.filepath.stem != '__init__']
        rest = [module for module in rest if module not in listed]
        listed.sort(key=lambda module: module.path not in FIRST)
        entries = [f'::: {module.path}' for module in listed if module.name != '__main__']
        pages[page] = f'# {title}\n\n' + '\n\n'.join(entries) + '\n'
    if rest:
        raise PluginError(f'{rest[0].path}: on no page; add its package in tools/docs/hooks.py')
    return pages


def options(command: str) -> str:
    """The table of the options of `mmvis-cl COMMAND`, made without importing torch."""
    mmvis_cl_command.put_off = True
    return option_table(command)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {'reference/config.md': config_page()}
    pages |= {f'reference/{name}.md': text for name, text in api_pages().items()}
    pages['contributing.md'] = (ROOT / 'CONTRIBUTING.md').read_text()
    pages['changelog.md'] = (ROOT / 'CHANGELOG.md').read_text()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **kwargs) -> str:
    """Put tables and pictures into the pages."""
    markdown = re.sub(
        r'<!-- messages: (.+?) -->', lambda match: message_table(match[1].split()), markdown
    )
    for name, table in (('rooms', rooms_table), ('way', way_table)):
        if f'<!-- {name} -->' in markdown:
            markdown = markdown.replace(f'<!-- {name} -->', plain_roles(table()))
    markdown = re.sub(r'<!-- options: ([\w-]+) -->', lambda match: options(match[1]), markdown)
    return re.sub(r'<!-- picture: (\w+) -->', lambda match: PICTURES[match[1]](), markdown)
