"""Injection: what a pod needs so that its containers ask the sidecar, as a minimal patch of what is there."""
