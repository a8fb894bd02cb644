"""The family tree of errors.

ReleaseError            meaning
+- BadRoad              the resource says what cannot be; mend the spec
+- Refused              the command may not do that now; says what to do instead
+- Unreachable          API server, Prometheus or a version does not answer; try again
+- Conflict             somebody wrote the object since it was read; read again
+- BadGolden            a golden set is not in its format
+- BrokenLedger         the chain of records was cut or changed
"""


class ReleaseError(Exception):
    """Any of ours; `message` is one sentence to a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRoad(ReleaseError):
    """The resource says what cannot be."""


class Refused(ReleaseError):
    """The command may not do that now."""


class Unreachable(ReleaseError):
    """Somebody does not answer; trying again may help."""


class Conflict(ReleaseError):
    """The object changed since it was read."""


class BadGolden(ReleaseError):
    """A golden set is not in its format."""


class BrokenLedger(ReleaseError):
    """The chain of records does not hold."""
