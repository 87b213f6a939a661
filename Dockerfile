# One image for every process; compose.yaml says which one a container runs.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/fulfillment
COPY deploy/requirements.txt deploy/
RUN pip --python /opt/fulfillment/bin/python install --no-cache-dir --require-hashes -r deploy/requirements.txt
COPY . .
RUN pip --python /opt/fulfillment/bin/python install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent fulfillment \
    && install -d -o fulfillment /definitions
COPY --from=build /opt/fulfillment /opt/fulfillment
ENV PATH=/opt/fulfillment/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1
USER fulfillment
WORKDIR /tmp
CMD ["fulfillment", "--help"]
