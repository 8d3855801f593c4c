"""The dashboards of grafana/dashboards, by Grafana's foundation SDK. `python -m tools.dashboards` writes them."""
