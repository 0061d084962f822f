"""The corpus as files: its records, the Arrow shards, and the forms it can be exported to."""
