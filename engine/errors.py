"""Errors that are the user's to mend; command lines print them in one line and exit 1."""


class UserError(Exception):
    """Says what was wrong, what was given, what was expected and what to do."""
