"""The options of a command of mmvis-cl as a table, from its parser."""

import argparse


def option_table(command: str) -> str:
    """A Markdown table of the arguments.

    Args:
        command: As in ``mmvis-cl COMMAND``.

    Returns:
        The table: argument, what it does.
    """
    from mmvis_cl.cli.command_line import COMMANDS  # here, for the caller puts torch off

    parser = argparse.ArgumentParser(prog=f'mmvis-cl {command}', add_help=False)
    COMMANDS[command].add_arguments(parser)
    lines = ['| argument | what it does |', '| --- | --- |']
    for action in parser._actions:
        name = ', '.join(action.option_strings)
        value = action.metavar or (action.dest if action.nargs != 0 else '')
        if isinstance(value, tuple):
            value = ' '.join(value)
        if not name or action.nargs != 0:
            name = f'{name} {value}'.strip() + (' ...' if action.nargs in ('+', '*') else '')
        text = (action.help or '') % {**vars(action), 'prog': parser.prog}
        if action.required and action.option_strings:
            text += '; required'
        lines.append(f'| `{name}` | {text} |')
    return '\n'.join(lines)
