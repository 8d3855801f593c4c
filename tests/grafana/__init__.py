"""Grafana's and Prometheus' side: recorded lives, a real Prometheus that has them, and what it is asked."""
