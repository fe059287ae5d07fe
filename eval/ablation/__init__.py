"""Ablations: which part of the system does what, measured on the same questions, with intervals and paired tests."""
