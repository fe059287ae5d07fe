"""Dual encoders of images and captions: CLIP, SigLIP and their medical descendants, one adapter per library."""
