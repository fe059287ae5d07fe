"""Metrics, each with its source."""
