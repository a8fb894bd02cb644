"""Settings by room: each field says its unit and, where not obvious, why it is what it is.

`configuration/` reads them once at start.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]

UNFIT = "unfit"  # pydantic's type for what `_unfit` makes


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _unfit(path: str, expected: str) -> PydanticCustomError:
    """A field that is well by itself and does not fit another; `path` is where to mend it."""
    return PydanticCustomError(UNFIT, "{path}: {expected}", {"path": path, "expected": expected})


class ServerSettings(_Section):
    """The front door."""

    host: str = "127.0.0.1"
    """Address HAProxy listens on; 0.0.0.0 opens it to the network."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    version: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")] = ""
    """The release that answers here, such as v42: every answer names it in `x-model-version`."""
    max_body_bytes: Count = 4 * 1024 * 1024
    """Larger request bodies are refused while they arrive."""
    max_stream_s: Seconds = 600.0
    """The longest answer; every drain waits this long, so that no stream is cut."""
    max_choices: Count = 128
    """Answers one request may ask for: n, times the prompts of a text completion."""
    tenant_header: str | None = None
    """Header in which a gateway that has authenticated the caller names the tenant; the gateway
    must drop what callers send in it. None: everyone is anonymous."""
    priority_header: str | None = None
    """Header in which a gateway names a request's priority, over the body's; None: the body's."""
    min_priority: int = -100
    """The most urgent priority that may be asked for; lower goes first. It orders a tenant's own
    requests and takes nothing from another tenant."""
    max_priority: int = 100
    ready_deadline_s: Seconds = 5.0
    """/ready runs a real one-token generation; past this it is red, also when the probe only waited
    in the line behind users: a new request would wait as long."""
    ready_interval_s: Seconds = 5.0
    """A successful probe is believed this long, so that probes cost little."""

    @property
    def url(self) -> str:
        """Where this machine reaches its own server; 0.0.0.0 is no place to connect to."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104 -- compared
        return f"http://{host}:{self.port}"


class ModelSettings(_Section):
    """What is served."""

    name: str = "glm-nano"
    """Name in /v1/models and folder name below `folder`."""
    aliases: tuple[str, ...] = ()
    """Further names that callers may ask by, such as that of the model before it: while two
    versions share the traffic, whoever names one may meet the other."""
    folder: Path | None = None
    """Folder that holds one folder a model; None: the models in the box."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of its manifest, as `glm-serve models list --json` tells it; another model of that
    name is refused. None: whatever the folder holds."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: float32 on CPU, bfloat16 on GPU."""
    quantization: Literal["none", "nf4", "int8"] = "none"
    """Hold the products inside the layers in 4 or 8 bits while reading them: a good quarter or half
    of bfloat16's memory. On a CUDA card faster for a few streams at once, slower for many; the
    figures are in docs/performance.md. none: as the model is stored."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a CUDA card where the replica sees one, else the CPU; it sees none while
    `replicas.model_gpus` is 0."""
    public_key: Path | None = None
    """PEM file; only models whose manifest its owner signed are brought or loaded.
    None: a manifest need not be signed."""


class EngineSettings(_Section):
    """One model replica's engine."""

    page_tokens: Count = 16
    """Tokens a KV page; also the grain of the prefix cache."""
    kv_tokens: Count = 32768
    """Tokens the KV cache holds over all sequences; four full contexts of glm-nano."""
    kv_dtype: Literal["auto", "fp8"] = "auto"
    """What keys and values are kept as. auto: the model's own dtype. fp8: 8-bit floats, each token
    scaled by itself: half the memory, faster for many streams and over long contexts, as fast for
    one short one; on CUDA cards of compute capability 8.9 or newer alone (L4, H100, H200)."""
    host_kv_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens whose keys and values are kept in the host's memory, pinned beside a CUDA card, when
    the KV cache has no room for them any more: asked about again, a document comes back instead of
    being computed anew. 0: none."""
    step_tokens: Count = 512
    """Tokens one forward pass may take; a long prompt is cut into chunks of what is left."""
    max_running: Count = 64
    """Sequences that decode together."""
    max_waiting: Count = 256
    """Requests that may wait, each of n counted; more are refused with Retry-After."""
    max_waiting_tokens: Count = 262_144
    """Tokens of prompts that may wait, what is cached not counted; more are refused likewise, but
    a prompt that finds nobody waiting never is."""
    long_prompt_tokens: Count = 2048
    """Prompts that need more tokens computed than this are documents: they wait in a lane of their
    own and take what is left of each step."""
    long_floor_tokens: Count = 64
    """Tokens of each step that decoding leaves to documents, and that those take while a chat lacks
    room in the KV cache, so that they always move; half of step_tokens at most."""
    long_step_tokens: Count = 2048
    """Tokens that documents take of a step: who comes meanwhile waits for the end of the step,
    which takes the longer the more a document has read. Larger ones read no faster; it is never
    more than step_tokens."""
    speculation: Literal["off", "by_request", "on"] = "off"
    """Whether greedy answers guess what follows from what stands earlier in their text and check it
    in one step: sooner where texts repeat themselves, and the same answers but where two tokens are
    equally likely in bfloat16. There are no guesses from 64 streams on, nor in steps that read
    prompts. by_request: for requests that wish it; on: for all that do not refuse it."""
    draft_tokens: Annotated[int, Field(ge=1, le=15)] = 7
    """Tokens of a guess; on a card a step of 8 tokens takes some 9 % longer than one of 1."""
    tenant_weights: dict[str, Weight] = Field(default_factory=dict)
    """Shares of tenants that wait together, by name: 2 gets twice the tokens of 1, the default."""
    tensor_parallel: Count = 1
    """GPUs that compute each step together, every layer dealt out to all: a process for each. It
    must divide the model's attention heads; they are of one machine, linked by NVLink at best. On
    the CPU where `replicas.model_gpus` is 0."""
    threads: Count = 1
    """torch threads; two on two busy cores were 3 to 10 times slower than one."""
    step_deadline_s: Seconds = 60.0
    """A step that takes longer will never end: the replica is red and is started anew. A step of
    `step_tokens` on a slow CPU takes a few seconds."""
    structure_max_bytes: Count = 65536
    """JSON schemas, regular expressions, choices and tools of one request; more are refused."""
    structure_compile_s: Seconds = 2.0
    """CPU time to prepare them; an honest schema of 300 fields takes 0.04 s."""
    yields_per_s: Count = 1000
    """Events handed out a second over all streams; each costs 0.2-0.3 ms of CPU on its way out,
    so tokens that came meanwhile travel together (the first of a stream never waits)."""

    @model_validator(mode="after")
    def _hold_a_page(self) -> Self:
        if self.kv_tokens < self.page_tokens:
            wanted = f"expected at least one page, engine.page_tokens ({self.page_tokens})"
            raise _unfit("engine.kv_tokens", wanted)
        if 0 < self.host_kv_tokens < self.page_tokens:
            wanted = f"expected 0 or at least one page, engine.page_tokens ({self.page_tokens})"
            raise _unfit("engine.host_kv_tokens", wanted)
        return self


class SafetySettings(_Section):
    """The guards."""

    enabled: bool = True
    word_lists: tuple[Path, ...] = ()
    """Files with one banned term a line, `#` comments; empty: the list in the box."""
    max_skipped: Count = 16
    """Ignorable characters in a row after which a half match is given up, so that
    one character and ten thousand spaces cannot stall a stream."""


class ReplicaSettings(_Section):
    """What Ray Serve runs."""

    ingress: Count = 1
    safety: Count = 1
    model_min: Count = 1
    model_max: Count = 1
    model_per_node: Count | None = None
    """Model replicas a node may hold; by default as many as its CPUs and GPUs allow."""
    target_requests: Count = 32
    """Requests a model replica should have in hand; autoscaling aims at it, and at the next."""
    target_waiting_tokens: Count = 4096
    """Tokens of prompts that may wait at a replica: they are the time to the first token."""
    scale_up_after_s: Seconds = 15.0
    """How long more replicas must have been wanted before one is started."""
    scale_down_after_s: Seconds = 600.0
    """How long fewer must have been wanted before one is ended, after its last answer; starting it
    again would take a load of the model."""
    model_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """GPUs a model replica asks Ray for; Ray hides them from one that asks for none."""

    @model_validator(mode="after")
    def _order_bounds(self) -> Self:
        if self.model_max < self.model_min:
            wanted = f"expected at least replicas.model_min ({self.model_min})"
            raise _unfit("replicas.model_max", wanted)
        return self


class LogSettings(_Section):
    """What is written, never prompt text."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: Path | None = None
    """Where every process appends its lines; None: `glm-serve serve` shows them on its terminal.
    In a container /proc/1/fd/1 is the pod's log: Ray hides the standard streams of its workers."""


class Settings(_Section):
    """The whole configuration, frozen."""

    server: ServerSettings = ServerSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    safety: SafetySettings = SafetySettings()
    replicas: ReplicaSettings = ReplicaSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _ask_for_the_gpu(self) -> Self:
        if self.model.device == "cuda" and not self.replicas.model_gpus:
            raise _unfit("replicas.model_gpus", "expected above 0, for model.device is cuda")
        return self

    @model_validator(mode="after")
    def _give_each_rank_a_gpu(self) -> Self:
        ranks, gpus = self.engine.tensor_parallel, self.replicas.model_gpus
        if ranks > 1 and gpus not in (0, ranks):
            raise _unfit("replicas.model_gpus", f"expected engine.tensor_parallel ({ranks})")
        if ranks > 1 and self.model.quantization != "none":
            raise _unfit(
                "model.quantization", "expected none, for engine.tensor_parallel is above 1"
            )
        return self

    def of_model(self, name: str) -> "Settings":
        """The same for another model, of which no digest is known."""
        if name == self.model.name:
            return self
        other = self.model.model_copy(update={"name": name, "digest": None})
        return self.model_copy(update={"model": other})
