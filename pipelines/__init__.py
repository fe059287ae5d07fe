"""Composition: the only place that knows concrete classes."""
