"""Mining: each document goes through a list of steps, each of which takes rows and returns those that stay."""
