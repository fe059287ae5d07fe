"""Which medical domain an image is of: prototypes of a library's own cases, or prompts of an image-text encoder."""
