"""The fine-tuning room: labelled tasks on top of the pretrained encoder, tested in languages never trained on."""
