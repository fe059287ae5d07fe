"""Checks between a draft and an answer: quotes, support, polarity."""
