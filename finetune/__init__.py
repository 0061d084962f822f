"""The fine-tuning package: labelled tasks on top of the pretrained encoder, tested in languages never trained on."""
