"""Measurement: datasets, metrics, runs."""
