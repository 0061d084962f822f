"""CommonCrawl → CC100: fetch, hash, find duplicates, train language models, mine, cut into buckets, regroup."""
