# For NVIDIA GPUs: docker build --build-arg LOCK=requirements-gpu.lock --tag lstm-mnist:gpu .
FROM python:3.11.14-slim-bookworm AS packages
ARG LOCK=requirements-compare.lock
COPY requirements-build.lock ${LOCK} /app/
RUN pip install --no-cache-dir --require-hashes --requirement /app/requirements-build.lock && \
    pip install --no-cache-dir --no-build-isolation --require-hashes --requirement "/app/${LOCK}"

# The compiled kernel, made apart: the image itself has no compiler.
FROM packages AS kernel
RUN apt-get update && apt-get install --yes --no-install-recommends g++
WORKDIR /app
COPY setup.py ./
COPY lstm_mnist/recurrence/*.cpp lstm_mnist/recurrence/*.h lstm_mnist/recurrence/
RUN python setup.py build_ext --inplace

FROM packages
COPY LICENSE /app/
COPY lstm_mnist /app/lstm_mnist
# There is nothing to copy, and no image, if the kernel did not compile.
COPY --from=kernel /app/lstm_mnist/recurrence/*.so /app/lstm_mnist/recurrence/
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    TFDS_DATA_DIR=/app/tensorflow_datasets
# Prepared here, MNIST needs neither a network nor a writable folder when the container runs.
RUN python -c "from lstm_mnist import data; data.load()"

LABEL org.opencontainers.image.title="lstm-mnist" \
      org.opencontainers.image.description="A faithful reproduction of an LSTM on the rows of MNIST" \
      org.opencontainers.image.licenses="MIT"

# Results go to /out/runs, for whichever user the container runs as. Where the file system is read-only
# but for that folder, Keras' temporary files go there too. TEST_TMPDIR is only asked for by modules
# that TensorFlow imports; nothing is written there.
RUN mkdir --mode=1777 /out /out/runs
ENV TMPDIR=/out/runs \
    TEST_TMPDIR=/tmp
WORKDIR /out
USER 1000
ENTRYPOINT ["python", "-m", "lstm_mnist"]
