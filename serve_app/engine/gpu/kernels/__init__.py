"""Triton kernels and their parts; a plain torch twin beside a kernel says what it means.

All products share theirs.
"""
