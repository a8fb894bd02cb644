# syntax-free: built by BuildKit's own frontend, so nothing is fetched but the base and packages.
#
#   docker build -t glm-serve . && docker run -p 8000:8000 glm-serve
#
# BASE is any image with Python 3.11 or newer; what the build needs beside it is BUILD_PACKAGES.
ARG BASE=python:3.12-slim-bookworm

# What builds: never part of the image.
FROM ${BASE} AS build
ARG BUILD_PACKAGES=""
RUN if [ -n "${BUILD_PACKAGES}" ]; then \
      apt-get update && apt-get install --yes --no-install-recommends ${BUILD_PACKAGES}; \
    fi
COPY ci/uv.lock /build/
RUN python3 -m venv /build/venv \
    && /build/venv/bin/pip install --no-cache-dir --require-hashes --requirement /build/uv.lock
WORKDIR /build/product
COPY pyproject.toml README.md LICENSE ./
COPY serve_app serve_app
COPY k8s k8s
ARG SOURCE_DATE_EPOCH=1767225600
RUN /build/venv/bin/uv build --quiet --wheel --no-build-isolation --python /build/venv/bin/python \
      --out-dir /build/wheel

FROM ${BASE} AS product

# 1. Dependencies: 6 GB that change with requirements.lock alone.
# Compiled here, since nothing can be written beside them later.
RUN --mount=type=bind,from=build,source=/build,target=/build \
    --mount=type=bind,source=requirements.lock,target=/requirements.lock \
    UV=/build/venv/bin/uv \
    && ${UV} venv --quiet --python "$(command -v python3)" --no-python-downloads /opt/glm-serve \
    && ${UV} pip install --quiet --no-cache --compile-bytecode --require-hashes \
      --python /opt/glm-serve/bin/python --requirement /requirements.lock

# 2. The user that runs it, and what it finds.
RUN echo 'glm:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'glm:x:10001:' >> /etc/group
ENV PATH=/opt/glm-serve/bin:${PATH} \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GLM_SERVER__HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["glm-serve"]
CMD ["serve"]

# 3. The code: a few megabytes, last, so that a change of it moves nothing else.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="glm-serve" \
      org.opencontainers.image.description="Serve the GLM family from Ray Serve on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 0:0
RUN --mount=type=bind,from=build,source=/build,target=/build \
    --mount=type=bind,source=ci/sbom.py,target=/sbom.py \
    /build/venv/bin/uv pip install --quiet --no-cache --no-deps --compile-bytecode \
      --python /opt/glm-serve/bin/python /build/wheel/*.whl \
    && mkdir -p /usr/share/doc/glm-serve \
    && /opt/glm-serve/bin/python -I /sbom.py glm-serve > /usr/share/doc/glm-serve/sbom.cdx.json
USER 10001:10001
