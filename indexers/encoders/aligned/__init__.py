"""An image-text space fitted on the user's own pairs, on top of frozen image and text encoders."""
