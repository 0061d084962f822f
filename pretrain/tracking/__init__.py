"""The numbers of a training, as JSON lines, for TensorBoard, MLflow and Weights & Biases."""
