"""The passes that come with onnxforge, one file each."""
