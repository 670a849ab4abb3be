"""A graph as an ONNX file, written without torch."""
