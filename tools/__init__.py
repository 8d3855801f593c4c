"""Developers' programs, outside the product."""
