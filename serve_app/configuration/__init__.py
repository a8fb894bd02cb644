"""Reads the settings once at start: one YAML file, then the environment over it.

Every mistake is found before anything starts, and all of them are said at once, one a line, each
beginning with the path of the field, then what was expected and where the value came from.
"""

from serve_app.configuration.effective import Configuration, load

__all__ = ["Configuration", "load"]
