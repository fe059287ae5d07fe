"""Contract tests: one class per protocol, run by every implementation."""
