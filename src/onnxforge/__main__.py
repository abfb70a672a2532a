"""`python -m onnxforge`."""

from onnxforge.cli import main

main()
