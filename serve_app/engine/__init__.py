"""5. The engine: sequences, KV blocks, scheduler, attention, model, sampler."""
