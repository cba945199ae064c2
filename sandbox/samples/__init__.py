"""The product's own invented people, messages and files for demo and tests."""
