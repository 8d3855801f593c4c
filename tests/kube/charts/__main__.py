"""Writes what is expected of each chart."""

from tests.kube.charts import CHARTS, expected
from tests.kube.opinions import injected

for path in CHARTS:
    expected(path).write_text(injected(path.read_text()))
