"""Reads overrides such as GLM_ENGINE__PAGE_TOKENS=32 from the environment."""

import re
from collections.abc import Iterator, Mapping

from serve_app.configuration import yaml_file
from serve_app.configuration.fields import PREFIX, VARIABLES, Field, Given

# Kubernetes tells every pod about every service: one named glm-road brings GLM_ROAD_SERVICE_HOST,
# GLM_ROAD_PORT_8000_TCP_ADDR and so on.  They are not ours, and ours have two underscores.
_SERVICE_LINK = re.compile(r"^(?!.*__).*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")


def read(environ: Mapping[str, str]) -> Iterator[Given]:
    """Yield what our variables set, known or not, in order of name."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _SERVICE_LINK.match(variable):
            continue
        field = VARIABLES.get(variable)
        if field is None:
            yield Given(variable, environ[variable], "the environment")
        else:
            value = _value(environ[variable], field)
            yield Given(field.path, value, f"the environment, {variable}")


def _value(text: str, field: Field) -> object:
    """Text as it stands; lists as in YAML; an empty variable unsets what may be nothing."""
    if not text and field.optional:
        return None
    return yaml_file.value_of(text) if field.nested else text
