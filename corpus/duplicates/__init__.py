"""Lines and documents that the crawl holds more than once: their hashes, and which of them to drop."""
