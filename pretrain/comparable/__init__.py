"""Comparable pages: what stands at addresses that differ in their language only, as a start for the tokens' table."""
