"""Every error that Vesalius raises on purpose.

    VesaliusError
    ├── UsageError            a call or its input is wrong                     (exit 2)
    │   ├── ConfigError       a configuration file or key
    │   ├── QueryError        a question, image or filter that cannot be used
    │   └── IndexMismatch     a library made with another configuration
    ├── SourceError           a source file that cannot be read                (skipped, exit 1)
    └── EnvironmentProblem    something outside the call is missing            (exit 3)
        ├── MissingModel      a model file is not in the cache
        ├── MissingExtra      an optional package is not installed
        ├── LibraryNotFound   there is no library in the folder
        └── StoreError        the vector store failed or is in use

A message says what happened, to which item, and what to do.
"""

from __future__ import annotations


class VesaliusError(Exception):
    """Base of all; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(VesaliusError):
    """A call or its input is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file or key is wrong."""


class QueryError(UsageError):
    """A question, image or filter cannot be used."""


class IndexMismatch(UsageError):
    """A library was made with another configuration than the one it is opened with."""

    def __init__(self, field: str, *, stored: object, wanted: object) -> None:
        super().__init__(
            f"the library was built with {field} = {stored}, but the configuration says {wanted}; "
            f"open it with the configuration it was built with, or build a new library with --fresh"
        )
        self.field, self.stored, self.wanted = field, stored, wanted


class SourceError(VesaliusError):
    """A source file cannot be read; the build records it and goes on."""

    def __init__(self, reason: str, *, stage: str = "open", locator: str = "") -> None:
        super().__init__(reason)
        self.reason, self.stage, self.locator = reason, stage, locator


class EnvironmentProblem(VesaliusError):
    """Something outside the call is missing or down."""

    exit_code = 3


class MissingModel(EnvironmentProblem):
    """A model file is not in the cache."""

    def __init__(self, model: str, *, detail: str = "it is not in the model cache") -> None:
        super().__init__(f"model {model}: {detail}; run `vesalius models pull`")
        self.model = model


class MissingExtra(EnvironmentProblem):
    """An optional package is not installed."""

    def __init__(self, extra: str, *, feature: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra; install it with: pip install 'vesalius[{extra}]'")
        self.extra = extra


class LibraryNotFound(EnvironmentProblem):
    """There is no library in the folder."""

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"no library in {folder}; make one with `vesalius index build --library {folder} --pages BOOK.pdf`"
        )


class StoreError(EnvironmentProblem):
    """The vector store failed or is in use."""
