"""Rules that keep a document or drop it with a reason, leave out lines, mask personal data. All off by default."""
