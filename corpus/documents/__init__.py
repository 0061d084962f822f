"""Documents that are text already: JSON lines, Parquet and Arrow, read as a crawl."""
