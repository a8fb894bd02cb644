import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.errors import InvalidRequest
from serve_app.ingress import wire
from serve_app.messages import Sampling

TINIEST = math.ulp(0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -TINIEST),
        ("temperature", math.nextafter(2.0, 3.0)),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 0.0),
        ("top_p", -0.1),
        ("top_p", math.nextafter(1.0, 2.0)),
        ("top_p", math.nan),
        ("max_tokens", -1),
        ("repetition_penalty", math.inf),
        ("bad_words", ("fine", "")),
        ("stop", ("fine", "")),
    ],
)
def test_what_no_sampler_could_do_cannot_be_said(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{field: value})


def test_the_ends_of_every_range_are_in_it() -> None:
    Sampling(temperature=0.0, top_p=TINIEST, max_tokens=1, stop=())
    Sampling(temperature=2.0, top_p=1.0, max_tokens=0, repetition_penalty=1e9)


@given(
    field=st.sampled_from(
        [
            "temperature",
            "top_p",
            "min_p",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
        ]
    ),
    value=st.floats(-1.0, 3.0) | st.sampled_from([-TINIEST, 0.0, TINIEST, 1.0, 2.0]),
)
@example("top_p", 0.0)
@example("temperature", 2.0)
@example("repetition_penalty", 0.0)
def test_the_wire_takes_what_can_be_said_and_nothing_else(field: str, value: float) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], field: value}
    text = json.dumps(body).encode()
    try:
        said = Sampling(**{field: value})
    except ValueError:
        with pytest.raises(InvalidRequest) as refusal:
            wire.chat(text, wire.Envelope("r"))
        assert refusal.value.param == field
    else:
        assert wire.chat(text, wire.Envelope("r")).request.sampling == said
