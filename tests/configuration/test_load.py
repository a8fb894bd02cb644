"""What is set wins over what is default, and what is wrong is said before anything starts."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.configuration import Configuration, load
from serve_app.configuration.fields import FIELDS
from serve_app.errors import BadSettings
from serve_app.settings import Settings

Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a config.yaml; returns its path."""

    def write(text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def mistakes(file: Path | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        load(file, environ)
    return caught.value.message.split("\n")


def test_without_file_and_environment_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    configuration = load(None, {"PATH": "/bin"})

    assert configuration.settings == Settings()
    assert set(configuration.origins.values()) == {"default"}
    assert set(configuration.origins) == set(FIELDS)


def test_a_config_yaml_in_the_current_folder_is_read_unasked(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written("server: {port: 9000}").parent)

    assert load(None, {}).settings.server.port == 9000


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    written: Written,
) -> None:
    file = written("engine:\n  page_tokens: 32\n  threads: 2\n")

    configuration = load(file, {"GLM_ENGINE__THREADS": "4"})

    engine = configuration.settings.engine
    assert (engine.page_tokens, engine.threads, engine.max_running) == (32, 4, 64)
    origins = configuration.origins
    assert origins["engine.page_tokens"] == "config.yaml, line 2"
    assert origins["engine.threads"] == "the environment, GLM_ENGINE__THREADS"
    assert origins["engine.max_running"] == "default"


def test_text_numbers_switches_paths_and_lists_get_their_types(written: Written) -> None:
    file = written(
        "model: {name: 123, folder: ~}\n"
        "safety:\n  enabled: no\n  word_lists: [a.txt, b.txt]\n"
        "server: {ready_deadline_s: 0.5}\nlog:\n"
    )

    settings = load(file, {"GLM_MODEL__FOLDER": "/models"}).settings

    assert (settings.model.name, settings.model.folder) == ("123", Path("/models"))
    assert settings.safety.word_lists == (Path("a.txt"), Path("b.txt"))
    assert not settings.safety.enabled
    assert settings.server.ready_deadline_s == 0.5


def test_a_list_in_the_environment_is_written_as_in_yaml(written: Written) -> None:
    environ = {"GLM_SAFETY__WORD_LISTS": "[a.txt, b.txt]", "GLM_MODEL__FOLDER": ""}

    settings = load(written("model: {folder: /models}"), environ).settings

    assert settings.safety.word_lists == (Path("a.txt"), Path("b.txt"))
    assert settings.model.folder is None


def test_what_kubernetes_tells_every_pod_is_not_taken_for_ours(written: Written) -> None:
    environ = {
        "GLM_ROAD_SERVICE_HOST": "10.0.0.1",
        "GLM_ROAD_SERVICE_PORT": "80",
        "GLM_ROAD_SERVICE_PORT_HTTP": "80",
        "GLM_ROAD_PORT": "tcp://10.0.0.1:80",
        "GLM_ROAD_PORT_80_TCP_ADDR": "10.0.0.1",
    }

    assert load(written(""), environ).settings == Settings()


def test_a_configuration_travels_to_other_processes(written: Written) -> None:
    configuration = load(written("server: {port: 9000}"), {})

    copy: Configuration = pickle.loads(pickle.dumps(configuration))  # noqa: S301 -- made one line up

    assert copy == configuration


WRONG_FILES = {
    "a word for a number": (
        "engine:\n  page_tokens: x",
        "engine.page_tokens: expected a whole number of at least 1, got 'x'",
        2,
    ),
    "a switch for a number": (
        "engine: {page_tokens: yes}",
        "engine.page_tokens: expected a whole number of at least 1, got 'yes'",
        1,
    ),
    "a number out of range": (
        "server: {port: 65536}",
        "server.port: expected a whole number from 1 to 65535, got '65536'",
        1,
    ),
    "no time at all": (
        "server: {max_stream_s: 0}",
        "server.max_stream_s: expected a number above 0, got '0'",
        1,
    ),
    "endless time": (
        "server: {max_stream_s: inf}",
        "server.max_stream_s: expected a number above 0, got 'inf'",
        1,
    ),
    "a word that is not on the list": (
        "log: {level: loud}",
        "log.level: expected one of debug, info, warning, error, got 'loud'",
        1,
    ),
    "a word for a switch": (
        "safety: {enabled: perhaps}",
        "safety.enabled: expected true or false, got 'perhaps'",
        1,
    ),
    "a text for a list": (
        "safety: {word_lists: a.txt}",
        "safety.word_lists: expected a list, each item a path, got 'a.txt'",
        1,
    ),
    "a mapping for a path": (
        "model: {folder: {a: b}}",
        "model.folder: expected a path or nothing, got {'a': 'b'}",
        1,
    ),
    "nothing for a number": (
        "replicas:\n\n  ingress:\n",
        "replicas.ingress: expected a whole number of at least 1, got nothing",
        3,
    ),
    "a slip in a field": (
        "engine: {page_token: 16}",
        "engine.page_token: not a known setting; did you mean engine.page_tokens?",
        1,
    ),
    "a slip in a section": (
        "engin: {page_tokens: 16}",
        "engin: not a known setting; did you mean engine?",
        1,
    ),
    "something else altogether": (
        "colour: red",
        "colour: not a known setting; `glm-serve config` lists all of them",
        1,
    ),
    "a section without fields": (
        "engine: 3",
        "engine: expected fields below it",
        1,
    ),
}


@pytest.mark.parametrize(("text", "sentence", "line"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_every_mistake_in_a_file_has_its_sentence_and_line(
    written: Written, text: str, sentence: str, line: int
) -> None:
    assert mistakes(written(text), {}) == [f"{sentence} (from config.yaml, line {line})"]


KEYS_GIVEN_TWICE = {
    "a field given twice": (
        "engine:\n  threads: 1\n  threads: 2",
        "engine.threads: given twice (in config.yaml, lines 2 and 3).",
    ),
    "a section given twice": (
        "engine: {}\nlog: {}\nengine: {}",
        "engine: given twice (in config.yaml, lines 1 and 3).",
    ),
    "a key given twice deep inside": (
        "model: {folder: {a: b, a: c}}",
        "model.folder.a: given twice (in config.yaml, lines 1 and 1).",
    ),
}


@pytest.mark.parametrize(
    ("text", "sentence"), KEYS_GIVEN_TWICE.values(), ids=KEYS_GIVEN_TWICE.keys()
)
def test_a_key_given_twice_is_refused_with_both_lines(
    written: Written, text: str, sentence: str
) -> None:
    assert mistakes(written(text), {}) == [sentence]


BROKEN_FILES = {
    "a tab": ("engine:\n\tthreads: 1", ", line 2: not YAML: found character '\\t' that cannot"),
    "two colons": ("a: b: c", ", line 1: not YAML: mapping values are not allowed here."),
    "an alias": ("a: &x 1\nb: *x", ", line 2: not YAML: aliases (*name) are not read."),
    "two documents": ("a: 1\n---\nb: 2", ", line 2: not YAML: but found another document."),
    "a list": ("- a", ": expected sections such as `engine:` with fields below them."),
    "a text": ("hello", ": expected sections such as `engine:` with fields below them."),
    "a control character": ("\x01", ": not YAML: it holds control characters."),
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN_FILES.values(), ids=BROKEN_FILES.keys())
def test_a_broken_file_is_named_with_the_line(written: Written, text: str, sentence: str) -> None:
    file = written(text)

    (told,) = mistakes(file, {})

    assert told.startswith(f"{file}{sentence}")


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"

    assert mistakes(file, {}) == [f"{file}: cannot be read: No such file or directory."]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {}) == [f"{tmp_path}: cannot be read: Is a directory."]


def test_a_file_that_is_not_utf8_is_refused(written: Written) -> None:
    file = written("")
    file.write_bytes(b"log: {level: \xff}")

    assert mistakes(file, {}) == [f"{file}: expected UTF-8 text; save the file as UTF-8."]


UNFIT = {
    "a word for a number": (
        "GLM_ENGINE__PAGE_TOKENS",
        "x",
        "engine.page_tokens: expected a whole number of at least 1, got 'x'",
    ),
    "an empty number": (
        "GLM_ENGINE__PAGE_TOKENS",
        "",
        "engine.page_tokens: expected a whole number of at least 1, got ''",
    ),
    "a list that does not end": (
        "GLM_SAFETY__WORD_LISTS",
        "[a",
        "safety.word_lists: expected a list, each item a path, got '[a'",
    ),
    "a very long value": (
        "GLM_LOG__LEVEL",
        "x" * 100,
        f"log.level: expected one of debug, info, warning, error, got '{'x' * 59}...",
    ),
}


@pytest.mark.parametrize(("variable", "value", "sentence"), UNFIT.values(), ids=UNFIT.keys())
def test_an_unfit_variable_is_told_with_its_field_and_its_name(
    written: Written, variable: str, value: str, sentence: str
) -> None:
    told = mistakes(written(""), {variable: value})

    assert told == [f"{sentence} (from the environment, {variable})"]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("GLM_ENGINE_PAGE_TOKENS", "GLM_ENGINE__PAGE_TOKENS"),
        ("GLM_SERVR__PORT", "GLM_SERVER__PORT"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest_known_one(
    written: Written, variable: str, meant: str
) -> None:
    told = mistakes(written(""), {variable: "32"})

    sentence = f"{variable}: not a known setting; did you mean {meant}?"
    assert told == [f"{sentence} (from the environment)"]


DISAGREEMENTS = {
    "more replicas at least than at most": (
        "replicas: {model_min: 3, model_max: 2}",
        (
            "replicas.model_max: expected at least replicas.model_min (3), got '2' "
            "(from config.yaml, line 1)"
        ),
    ),
    "against a default": (
        "replicas: {model_min: 3}",
        "replicas.model_max: expected at least replicas.model_min (3)",
    ),
    "a cache smaller than a page": (
        "engine: {kv_tokens: 8}",
        (
            "engine.kv_tokens: expected at least one page, engine.page_tokens (16), got '8' "
            "(from config.yaml, line 1)"
        ),
    ),
    "a GPU that Ray would hide": (
        "model: {device: cuda}",
        "replicas.model_gpus: expected above 0, for model.device is cuda",
    ),
    "ranks without a GPU each": (
        "engine: {tensor_parallel: 2}\nreplicas: {model_gpus: 1}",
        (
            "replicas.model_gpus: expected engine.tensor_parallel (2), got '1' "
            "(from config.yaml, line 2)"
        ),
    ),
    "ranks of a model that is quantised while it is read": (
        "engine: {tensor_parallel: 2}\nmodel: {quantization: nf4}",
        (
            "model.quantization: expected none, for engine.tensor_parallel is above 1, got 'nf4' "
            "(from config.yaml, line 2)"
        ),
    ),
}


@pytest.mark.parametrize(("text", "sentence"), DISAGREEMENTS.values(), ids=DISAGREEMENTS.keys())
def test_fields_that_do_not_fit_each_other_are_told_with_the_one_to_mend(
    written: Written, text: str, sentence: str
) -> None:
    assert mistakes(written(text), {}) == [sentence]


def test_fields_that_fit_each_other_are_taken(written: Written) -> None:
    file = written(
        "model: {device: cuda}\nreplicas: {model_min: 2, model_max: 2, model_gpus: 0.5}\n"
        "engine: {kv_tokens: 16}"
    )

    assert load(file, {}).settings.replicas.model_gpus == 0.5


def test_all_mistakes_are_told_at_once(written: Written) -> None:
    file = written("engine: {threads: 0}\ncolour: red\nlog: {level: loud}")

    told = mistakes(file, {"GLM_SERVER__PORT": "none"})

    assert [line.partition(":")[0] for line in told] == [
        "colour",
        "server.port",
        "engine.threads",
        "log.level",
    ]


def test_a_wrong_value_in_the_file_does_not_matter_when_the_environment_mends_it(
    written: Written,
) -> None:
    settings = load(written("server: {port: x}"), {"GLM_SERVER__PORT": "9000"}).settings

    assert settings.server.port == 9000


def test_a_file_can_run_nothing(written: Written, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    mistakes(written(f"engine: {{threads: !!python/object/apply:os.mkdir [{trace}]}}"), {})

    assert not trace.exists()
