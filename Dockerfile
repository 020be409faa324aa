# The topk binary in a small Debian image, run by a user without rights.
# ./test lints this file with hadolint; it was not built in this project's CI, which has no container engine.
FROM rust:1.95.0-bookworm AS build
WORKDIR /source
# The image's gcc, g++ and make compile librdkafka and SQLite into the binary: the result needs the C library alone.
COPY . .
RUN cargo build --release --locked -p job --bin topk

FROM debian:12.12-slim
# Certificates for TLS to Kafka, PostgreSQL and Redis; curl for the health checks.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /var/lib/topk --create-home topk
COPY --from=build /source/target/release/topk /usr/local/bin/topk
USER 10001:10001
WORKDIR /var/lib/topk
# The journal: the only state. Keep it in a volume.
VOLUME /var/lib/topk
EXPOSE 8080 9464
ENTRYPOINT ["topk"]
CMD ["--help"]
