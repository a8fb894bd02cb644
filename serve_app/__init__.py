"""The journey of a request, one room a step; README shows the house."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("glm-serve")
except PackageNotFoundError:  # in a checkout, as jobs of the pipeline have it
    __version__ = "unknown"
