"""What is expected before a text is read: base rates of the crawl, the language a page declares, its document."""
