"""Where documents come from: the files of a crawl, their records, and the documents in them."""
