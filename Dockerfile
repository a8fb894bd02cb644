# Nothing is fetched but the base and packages.
#
#   docker build -t glm-serve . && docker run -p 8000:8000 glm-serve
#
# BASE is any image of a Debian with Python 3.11 or newer; what the build needs beside it is
# BUILD_PACKAGES.
ARG BASE=python:3.12-slim-bookworm
ARG BUILD_PACKAGES="gcc libc6-dev"

# What builds: never part of the image.
FROM ${BASE} AS tools
ARG BUILD_PACKAGES
RUN apt-get update && apt-get install --yes --no-install-recommends ${BUILD_PACKAGES}
COPY ci/uv.lock /tools/
RUN python3 -m venv /tools/venv \
    && /tools/venv/bin/pip install --no-cache-dir --require-hashes --requirement /tools/uv.lock

FROM tools AS wheel
WORKDIR /product
COPY pyproject.toml README.md LICENSE ./
COPY serve_app serve_app
COPY k8s k8s
ARG SOURCE_DATE_EPOCH=1767225600
RUN /tools/venv/bin/uv build --quiet --wheel --no-build-isolation \
      --python /tools/venv/bin/python --out-dir /wheel

FROM ${BASE} AS dependencies

# 1. Dependencies: 6 GB that change with requirements.lock alone.
# Compiled here, since nothing can be written beside them later.
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,source=requirements.lock,target=/requirements.lock \
    UV=/tools/venv/bin/uv \
    && ${UV} venv --quiet --python "$(command -v python3)" --no-python-downloads /opt/glm-serve \
    && ${UV} pip install --quiet --no-cache --compile-bytecode --require-hashes \
      --python /opt/glm-serve/bin/python --requirement /requirements.lock

# What Triton compiles when it first sees a GPU; the image has no compiler.
FROM dependencies AS triton
ARG BUILD_PACKAGES
RUN apt-get update && apt-get install --yes --no-install-recommends ${BUILD_PACKAGES}
COPY ci/triton /triton
RUN PATH=/opt/glm-serve/bin:${PATH} /triton/build.sh /triton/cuda_utils.so

FROM dependencies AS product

# 2. The user that runs it, and what it finds.
COPY --from=triton /triton/cc /triton/cuda_utils.so /opt/glm-serve/libexec/
RUN echo 'glm:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'glm:x:10001:' >> /etc/group
ENV PATH=/opt/glm-serve/bin:${PATH} \
    CC=/opt/glm-serve/libexec/cc \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GLM_SERVER__HOST=0.0.0.0
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["glm-serve"]
CMD ["serve"]

# 3. The code: a few megabytes, last, so that a change of it moves nothing else.
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    --mount=type=bind,source=ci/sbom.py,target=/sbom.py \
    /tools/venv/bin/uv pip install --quiet --no-cache --no-deps --compile-bytecode \
      --python /opt/glm-serve/bin/python /wheel/*.whl \
    && mkdir -p /usr/share/doc/glm-serve \
    && /opt/glm-serve/bin/python -I /sbom.py glm-serve > /usr/share/doc/glm-serve/sbom.cdx.json
USER 10001:10001

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="glm-serve" \
      org.opencontainers.image.description="Serve the GLM family from Ray Serve on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# What is in it, alone: --target sbom --output type=local,dest=FOLDER
FROM scratch AS sbom
COPY --from=product /usr/share/doc/glm-serve/sbom.cdx.json /

# The image itself comes last, so that it is what is built where no target is named.
FROM product
