FROM python:3.13-slim AS build
WORKDIR /src
# Every wheel is checked against the lock; what is installed is then taken from these, and from nowhere else.
COPY requirements-service.lock ./
RUN python -m pip wheel --no-cache-dir --require-hashes --no-deps --requirement requirements-service.lock --wheel-dir /wheels
COPY pyproject.toml README.md LICENSE ./
COPY revocation ./revocation
RUN python -m venv /venv \
 && /venv/bin/python -m pip install --no-cache-dir --no-index --find-links /wheels \
      --group service '.[flask,prometheus,embedded]' \
 && /venv/bin/python -m pip check


# docker build --target command: the command `revocation` for operators, which the service does not need.
FROM build AS command
RUN /venv/bin/python -m pip install --no-cache-dir --no-index --find-links /wheels '.[cli]'
USER 65534
ENTRYPOINT ["/venv/bin/revocation"]


FROM python:3.13-slim
RUN groupadd --gid 10001 revocation \
 && useradd --uid 10001 --gid revocation --no-create-home --home-dir /data --shell /usr/sbin/nologin revocation \
 && install --directory --owner revocation --group revocation --mode 0700 /data
COPY --from=build /venv /venv
WORKDIR /srv
COPY app ./app
# The issuer is what clients call this service: 0.0.0.0 is no name for it.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    APP_BIND=0.0.0.0:8000 \
    APP_DATA_DIR=/data \
    APP_ISSUER=http://127.0.0.1:8000
USER revocation
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "-m", "app", "serve"]
