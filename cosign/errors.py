"""The one error that a user is meant to read."""


class CosignError(Exception):
    """Bad input or a missing tool, told in one sentence: what is wrong, where, what to do.

    Command lines print it without a traceback and exit with status 2.
    """
