"""Fine-tuning of open_clip models on the user's own pairs of image and text."""
