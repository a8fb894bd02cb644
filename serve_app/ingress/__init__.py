"""1. The front door: HTTP, wire format, request ids, server-sent events."""
