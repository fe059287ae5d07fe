"""Encoders: one adapter per library."""
