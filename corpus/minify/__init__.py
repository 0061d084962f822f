"""The corpus without its text, and rebuilt from that and the crawl: ``xlmr corpus minify`` and ``reproduce``."""
