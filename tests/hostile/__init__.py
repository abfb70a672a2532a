"""Damaged and hostile files: a typed error or a right answer, and nothing else."""
