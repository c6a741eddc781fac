"""What may be done: runbooks, policies and objectives, and their loaders."""
