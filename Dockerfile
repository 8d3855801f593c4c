# Locked packages in an environment of their own. What runs needs no shell, no pip and no writable root.
#
#     docker build --tag credential-sidecar:0.1.0 .
#     docker buildx build --platform linux/amd64,linux/arm64 --tag credential-sidecar:0.1.0 .
#     docker build --target sbom --output . .    # credential-sidecar.cdx.json, of what is installed
#
# Nothing here knows an architecture. BASE_IMAGE needs BUILD_IMAGE's Python at the same path, and nothing else.
# For labels and bytes of a commit: --build-arg REVISION=… --build-arg SOURCE_DATE_EPOCH=…
ARG BUILD_IMAGE=python:3.13-slim
ARG BASE_IMAGE=python:3.13-slim

FROM ${BUILD_IMAGE} AS build
ARG SOURCE_DATE_EPOCH
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
ENV LOCKED="--quiet --require-hashes --only-binary :all: --requirement"
WORKDIR /src
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/credential-sidecar
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /build/bin/pip install ${LOCKED} requirements/build.txt
RUN /build/bin/pip --python /opt/credential-sidecar/bin/python3 install ${LOCKED} requirements/runtime.txt
# Of the data of four hundred services, what a client of STS reads; and nobody's tests.
RUN cd /opt/credential-sidecar/lib/python3*/site-packages && \
    find botocore/data -mindepth 1 -maxdepth 1 ! -name sts ! -name partitions.json ! -name _retry.json \
        ! -name sdk-default-configuration.json -exec rm -r {} + && \
    find . -depth -type d -name tests -exec rm -r {} +
COPY pyproject.toml LICENSE ./
COPY docs/runbook.md docs/runbook-alerts.md docs/
COPY sidecar sidecar
# By name, not by path: an installed package does not remember where it was built.
RUN /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels . && \
    PIP_FIND_LINKS=/wheels /build/bin/pip --python /opt/credential-sidecar/bin/python3 install --quiet --no-index --no-deps \
        credential-sidecar
COPY tools/bytecode.py tools/
RUN PYTHONDONTWRITEBYTECODE=1 /opt/credential-sidecar/bin/python3 tools/bytecode.py /bytecode && \
    python3 -m compileall -q --invalidation-mode unchecked-hash /opt/credential-sidecar/lib

FROM build AS inventory
COPY requirements/sbom.txt requirements/
RUN python3 -m venv /sbom && /sbom/bin/pip install ${LOCKED} requirements/sbom.txt && \
    /sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
        --output-file /credential-sidecar.cdx.json /opt/credential-sidecar

FROM scratch AS sbom
COPY --from=inventory /credential-sidecar.cdx.json /

FROM ${BASE_IMAGE}
ARG REVISION
LABEL org.opencontainers.image.title="credential-sidecar" \
      org.opencontainers.image.description="Serves the credentials of an AWS role chain to the containers of a pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /bytecode /
COPY --from=build /opt/credential-sidecar /opt/credential-sidecar
ENV PATH=/opt/credential-sidecar/bin:/usr/local/bin:/usr/bin:/bin
# By number: kubelet compares it with runAsNonRoot. No workload has it by accident.
USER 59911:59911
EXPOSE 9912
# Kubernetes has probes of its own, which need no process.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["credential-sidecar", "probe", "/livez"]
ENTRYPOINT ["credential-sidecar"]
CMD ["run"]
