"""What stands around the pod in each file of deploy/ that `tools.specs` writes: `<pod>` is where its spec stands."""

from __future__ import annotations

from typing import Final

_POD: Final = """\
apiVersion: v1
kind: Pod
metadata:
  name: orders
  namespace: shop
  labels: {app.kubernetes.io/name: orders}
  <annotations>
spec:
  <pod>
"""

FRAMES: Final = {
    "annotated": f"""\
# The service account is annotated, for the sake of other pods. A container that is not skipped gets role A from the EKS
# webhook, which every SDK prefers to the endpoint, and the sidecar a second mount at the path of its token, which the
# API refuses.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: orders
  namespace: shop
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/account-a-role
---
{_POD}""",
    "cronjob": """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: orders
  namespace: shop
spec:
  schedule: "15 3 * * *"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 3
      activeDeadlineSeconds: 7200 # an outage of STS is waited for, but not for ever
      template:
        metadata:
          labels: {app.kubernetes.io/name: orders}
          <annotations>
        spec:
          <pod>
""",
    "daemonset": """\
# Never with hostNetwork, though it is usual in a DaemonSet: there another process can take the sidecar's port first.
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: orders
  namespace: shop
spec:
  selector:
    matchLabels: {app.kubernetes.io/name: orders}
  template:
    metadata:
      labels: {app.kubernetes.io/name: orders}
      <annotations>
    spec:
      <pod>
""",
    "deployment": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
  namespace: shop
spec:
  replicas: 2
  selector:
    matchLabels: {app.kubernetes.io/name: orders}
  template:
    metadata:
      labels: {app.kubernetes.io/name: orders}
      <annotations>
    spec:
      <pod>
""",
    "direct": f"""\
# Account B has an OIDC provider for the cluster's issuer: one hop, and nothing in Account A.
{_POD}""",
    "fargate": """\
# Fargate has no EKS Pod Identity; the sidecar needs none, only a token whose issuer IAM trusts.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
  namespace: shop
spec:
  replicas: 2
  selector:
    matchLabels: {app.kubernetes.io/name: orders}
  template:
    metadata:
      labels: {app.kubernetes.io/name: orders, compute: fargate} # what your Fargate profile selects by
      <annotations>
    spec:
      <pod>
""",
    "job": """\
apiVersion: batch/v1
kind: Job
metadata:
  name: orders
  namespace: shop
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 7200 # an outage of STS is waited for, but not for ever
  template:
    metadata:
      labels: {app.kubernetes.io/name: orders}
      <annotations>
    spec:
      <pod>
""",
    "proxied": f"""\
# What leaves the pod goes through an HTTP proxy; what asks the sidecar does not.
{_POD}""",
    "statefulset": """\
apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
spec:
  clusterIP: None
  selector: {app.kubernetes.io/name: orders}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: orders
  namespace: shop
spec: # the role session names are shop.orders-0, shop.orders-1, …: the same after every restart
  serviceName: orders
  replicas: 2
  selector:
    matchLabels: {app.kubernetes.io/name: orders}
  template:
    metadata:
      labels: {app.kubernetes.io/name: orders}
      <annotations>
    spec:
      <pod>
""",
    "two-targets": f"""\
# Two containers, each with a role of its own, which the AWS config file says. Read once, when the sidecar starts.
apiVersion: v1
kind: ConfigMap
metadata:
  name: orders-profiles
  namespace: shop
data:
  config: |
    [profile orders]
    source_profile = account_a
    role_arn = arn:aws:iam::444455556666:role/orders
    [profile invoices]
    source_profile = account_a
    role_arn = arn:aws:iam::777788889999:role/invoices
    [profile account_a]
    web_identity_token_file = /var/run/secrets/eks.amazonaws.com/serviceaccount/token
    role_arn = arn:aws:iam::111122223333:role/account-a-role
---
{_POD}""",
}

# Where each kind of workload has its pod.
_SPEC = "spec.template.spec"
KINDS: Final = {
    "Deployment": _SPEC,
    "StatefulSet": _SPEC,
    "DaemonSet": _SPEC,
    "Job": _SPEC,
    "CronJob": f"spec.jobTemplate.{_SPEC}",
}

# The patches that add the sidecar, by where a workload has its pod. Lists of a patch come first: so does the sidecar.
SIDECAR: Final = {
    "template": """\
apiVersion: apps/v1
kind: Deployment # or whatever has its pod here
metadata:
  name: whatever-has-the-label
spec:
  template:
    spec:
      <links>
      initContainers:
        <sidecar>
      volumes:
        <volumes>
""",
    "cronjob": """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: whatever-has-the-label
spec:
  jobTemplate:
    spec:
      template:
        spec:
          <links>
          initContainers:
            <sidecar>
          volumes:
            <volumes>
""",
}

WORKLOAD: Final = """\
# What is copied into the first container: variables and the mount. It is in no output.
apiVersion: v1
kind: Pod
metadata:
  name: credential-sidecar-workload
  annotations: {config.kubernetes.io/local-config: "true"}
spec:
  containers:
    <workload>
"""
