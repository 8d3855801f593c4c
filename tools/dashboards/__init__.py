"""The dashboards of grafana/dashboards, written with Grafana's foundation SDK. `python -m tools.dashboards` writes them."""
