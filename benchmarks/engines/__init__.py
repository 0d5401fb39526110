"""One bundle on every engine: latency, agreement, memory and start-up of each, beside the bare API. It makes docs/engines.md."""
