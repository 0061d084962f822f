"""How right identifiers are, ours and others."""
