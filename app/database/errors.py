"""The errors of the database, and of the values that would go into it."""


class DatabaseUnavailableError(Exception):
    """The database had to be asked and could not answer. The cause is kept; its text is for logs, not for clients."""


class InvalidValueError(ValueError):
    """A value that must not be stored. The message is for the sender of the value, and repeats no secret."""

    def __init__(self, field: str, message: str) -> None:
        #: The name of the value: ``username``, ``scope``, ...
        self.field = field
        super().__init__(message)
