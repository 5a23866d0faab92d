# docker build -t proteus-lab .                                     small, CPU only, weights inside
# docker build -t proteus-lab --build-arg TORCH_BACKEND=cu130 .     with CUDA's libraries (run with --gpus all)
# docker build -t proteus-lab --build-arg BAKE=no .                 without the weights: they are fetched at the first start
# docker build -t proteus-lab --build-arg LIGHT=yes .               the light app: no torch, opens runs and trains none
# docker run -p 127.0.0.1:8501:8501 -v proteus:/data proteus-lab    add -e PROTEUS_DEMO=1 or -e PROTEUS_PASSWORD=… (SECURITY.md)
FROM python:3.11-slim

# uv picks the builds of torch and torchvision for it
ARG TORCH_BACKEND=cpu
ARG BAKE=yes
ARG LIGHT=no

RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 lab && mkdir /lab /data && chown lab:lab /lab /data
USER lab
WORKDIR /lab

COPY --chown=lab:lab docker docker
COPY --chown=lab:lab Makefile requirements*.txt constraints.txt ./
RUN UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 docker/steps.sh packages

COPY --chown=lab:lab . .

# On the volume: weights, runs, compiled numba code. A new volume begins with what is here; a mounted folder fills itself.
ENV PROTEUS_CACHE=/data/cache \
    PROTEUS_RUNS=/data/runs \
    NUMBA_CACHE_DIR=/data/numba \
    PYTHONUNBUFFERED=1
ENV LIGHT=$LIGHT
RUN docker/steps.sh data
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["docker/steps.sh", "healthy"]
CMD ["docker/steps.sh", "serve"]
