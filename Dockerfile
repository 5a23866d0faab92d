# docker build -t proteus-lab .                                     small, CPU only
# docker build -t proteus-lab --build-arg TORCH_BACKEND=cu130 .     with CUDA's libraries (run with --gpus all)
# docker run -p 8501:8501 -v proteus:/data proteus-lab
FROM python:3.11-slim

# uv picks the builds of torch and torchvision for it
ARG TORCH_BACKEND=cpu

RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 lab && mkdir /lab /data && chown lab:lab /lab /data
USER lab
WORKDIR /lab

COPY --chown=lab:lab Makefile requirements.txt constraints.txt ./
RUN UV_TORCH_BACKEND=$TORCH_BACKEND UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 make .venv/.app

COPY --chown=lab:lab . .

# Weights, runs and compiled numba code live on the volume; the port is reached from outside the container.
ENV PROTEUS_CACHE=/data/cache \
    PROTEUS_RUNS=/data/runs \
    NUMBA_CACHE_DIR=/data/numba \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD [".venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["make", "app", "ADDRESS=0.0.0.0"]
