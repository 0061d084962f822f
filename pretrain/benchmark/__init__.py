"""How fast training is on this machine, where its time goes, and Hugging Face's loop beside it."""
