from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from serve_app.messages import EngineStats
from serve_app.telemetry import Exchanges, Metrics, merge

STATS = EngineStats(
    running=3,
    waiting=4,
    free_pages=5,
    total_pages=10,
    prefix_cache_queried_tokens=100,
    prefix_cache_hit_tokens=40,
    host_queried_tokens=60,
    host_hit_tokens=25,
    host_stored_tokens=80,
    host_used_pages=4,
    host_pages=16,
    prompt_tokens=200,
    generation_tokens=300,
    preemptions=2,
    waiting_tokens=50,
    expired=6,
    kernels_unused=True,
    steps=5,
    step_tokens=1_042,
    steps_by_size=((0, 2), (3, 1), (9, 1), (20, 1)),
)


def samples(text: bytes) -> dict[str, float]:
    """Values by name and labels, as they are written."""
    lines = text.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_an_engine_is_exported_by_the_names_of_vllm() -> None:
    metrics = Metrics()
    metrics.watch("glm-nano", lambda: STATS)
    values = samples(metrics.exposition())
    model = '{engine="0",model_name="glm-nano"}'
    assert {
        "vllm:num_requests_running": 3,
        "vllm:num_requests_waiting": 4,
        "vllm:kv_cache_usage_perc": 0.5,
        "vllm:prefix_cache_queries_total": 100,
        "vllm:prefix_cache_hits_total": 40,
        "vllm:external_prefix_cache_queries_total": 60,
        "vllm:external_prefix_cache_hits_total": 25,
        "vllm:kv_offload_cpu_cache_usage_perc": 0.25,
        "glm_kv_offload_stored_tokens_total": 80,
        "vllm:prompt_tokens_cached_total": 65,
        "vllm:prompt_tokens_total": 200,
        "vllm:generation_tokens_total": 300,
        "vllm:num_preemptions_total": 2,
        "glm_waiting_tokens": 50,
        "glm_kernels_unused": 1,
        "glm_requests_expired_total": 6,
    }.items() <= {name.replace(model, ""): value for name, value in values.items()}.items()


def test_steps_are_told_by_the_tokens_computed_in_them() -> None:
    metrics = Metrics()
    metrics.watch("glm-nano", lambda: STATS)
    read, labels = metrics.registry.get_sample_value, {"model_name": "glm-nano", "engine": "0"}
    name = "vllm:iteration_tokens_total"
    bounds = ("1.0", "4.0", "8.0", "256.0", "512.0", "16384.0", "+Inf")
    assert [read(f"{name}_bucket", labels | {"le": bound}) for bound in bounds] == [
        *(2, 2, 3, 3, 4, 4, 5)
    ]
    assert read(f"{name}_sum", labels) == 1_042
    assert read(f"{name}_count", labels) == 5


def test_an_engine_is_read_anew_at_every_scrape() -> None:
    metrics = Metrics()
    running = iter((1, 2))
    metrics.watch("glm-nano", lambda: replace(STATS, running=next(running)))
    name = 'vllm:num_requests_running{engine="0",model_name="glm-nano"}'
    assert [samples(metrics.exposition())[name] for _ in range(2)] == [1, 2]


def test_an_engine_that_is_no_longer_watched_is_not_exported() -> None:
    metrics = Metrics()
    metrics.watch("glm-nano", lambda: STATS)
    metrics.watch("glm-nano-b", lambda: STATS)
    metrics.unwatch("glm-nano")
    text = metrics.exposition()
    assert b'model_name="glm-nano-b"' in text
    assert b'model_name="glm-nano"' not in text


def test_two_sets_of_instruments_live_in_one_process() -> None:
    one, other = Metrics(), Metrics()
    Exchanges(one).ended(request_id="r", route="/", method="GET", status=200, duration_s=0.1)
    assert b"glm_http_requests_total{" in one.exposition()
    assert b"glm_http_requests_total{" not in other.exposition()


def test_merged_texts_are_one_text_by_family_with_the_replica_named() -> None:
    one, other = Metrics(), Metrics()
    one.watch("glm-nano", lambda: replace(STATS, running=1))
    other.watch("glm-nano", lambda: replace(STATS, running=2))
    one.itl.labels("glm-nano", "0", "short", "1").observe(0.01)
    whole = merge({"a": one.exposition(), "b": other.exposition()})
    values = samples(whole)
    assert values['vllm:num_requests_running{engine="0",model_name="glm-nano",replica="a"}'] == 1
    assert values['vllm:num_requests_running{engine="0",model_name="glm-nano",replica="b"}'] == 2
    assert values['vllm:prompt_tokens_total{engine="0",model_name="glm-nano",replica="b"}'] == 200
    name = "vllm:inter_token_latency_seconds_bucket"
    labels = 'engine="0",lane="short",le="+Inf",model_name="glm-nano",replica="a",tenant_class="1"'
    assert values[f"{name}{{{labels}}}"] == 1
    assert whole.count(b"# TYPE vllm:num_requests_running gauge") == 1
    assert whole.count(b"# HELP vllm:prompt_tokens_total") == 1


def test_a_merged_text_is_well_formed() -> None:
    one = Metrics()
    one.itl.labels("glm-nano", "0", "short", "1").observe(0.01)
    plain = list(text_string_to_metric_families(one.exposition().decode()))
    merged = list(text_string_to_metric_families(merge({"a": one.exposition()}).decode()))
    assert [(family.name, family.type) for family in merged] == [
        (family.name, family.type) for family in plain
    ]


def test_labels_with_quotes_and_lines_survive_the_merge() -> None:
    one = Metrics()
    one.successes.labels('a"b\\c\nd', "0", "stop").inc()
    twice = merge({"x": merge({"y": one.exposition()})})
    (family,) = [
        family
        for family in text_string_to_metric_families(twice.decode())
        if family.name == "vllm:request_success"
    ]
    assert family.samples[0].labels["model_name"] == 'a"b\\c\nd'


def test_the_memory_of_each_ranks_gpu_is_told_where_there_is_one() -> None:
    with_two, without = Metrics(), Metrics()
    with_two.watch_gpus(lambda: [(60, 80), (61, 80)])
    without.watch_gpus(list)
    told = with_two.exposition().decode()
    assert 'glm_gpu_memory_used_bytes{gpu="0"} 60.0' in told
    assert 'glm_gpu_memory_used_bytes{gpu="1"} 61.0' in told
    assert 'glm_gpu_memory_bytes{gpu="1"} 80.0' in told
    assert b"gpu" not in without.exposition()


def test_nothing_merged_is_nothing() -> None:
    assert merge({}) == b""
