"""The journey of a request, one room a step; README shows the house."""

from importlib.metadata import version

__version__ = version("glm-serve")
