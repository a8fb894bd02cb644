"""Triton kernels, one a file; each has its plain torch twin beside it, which says what it means.

All products share theirs.
"""
