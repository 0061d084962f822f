"""The state of a training as files: by parameter name, whatever the layout of ranks that wrote it."""
