"""What users of today's optimizers suffer from, each as a test; README.md is the table."""
