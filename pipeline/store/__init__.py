"""Runs at an address of object storage: what is kept there, and the copies of it that stages work on here."""
