"""The one exception for input that a user can mend."""


class InputError(ValueError):
    """Bad input: a broken file, annotation, config value or checkpoint.

    The message is a single line that says what is wrong, where, and how to mend it. The command
    line tools print it without a traceback.
    """
