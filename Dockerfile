# One image for every process; compose.yaml says which one a container runs.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/fulfillment
COPY deploy/requirements.txt deploy/
RUN pip --python /opt/fulfillment/bin/python install --no-cache-dir --require-hashes -r deploy/requirements.txt
COPY . .
# The pages that pyproject.toml names stay outside, so that a word changed there is no new image.
RUN touch README.md LICENSE && pip --python /opt/fulfillment/bin/python install --no-cache-dir --no-deps --compile .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent fulfillment \
    && install -d -o fulfillment /definitions \
    && python -m compileall -q --invalidation-mode unchecked-hash "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/fulfillment /opt/fulfillment
ENV PATH=/opt/fulfillment/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1
USER fulfillment
WORKDIR /tmp
CMD ["fulfillment", "--help"]
